//! The file of a listening Unix socket: made, replaced when it is a dead one's, removed when the service stops.

use corecast_uring::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes of the longest path that a Unix socket can have: `sun_path` has 108, one of them for the NUL at its end.
const PATH_BYTES_MAX: usize = 107;

/// Why there can be no listening socket at a path. Each message names the cause and what mends it.
#[derive(Debug, thiserror::Error)]
pub enum UnixPathError {
    #[error("it is in use; stop the other process (`ss -lxp` shows it) or choose another path with --listen")]
    InUse,
    #[error(
        "there is {found} in its place, and only a socket that nobody listens on is replaced; remove it or choose another path with --listen"
    )]
    NotASocket { found: &'static str },
    #[error(
        "its path has {bytes} bytes, and that of a socket has at most {PATH_BYTES_MAX}; choose a shorter one"
    )]
    TooLong { bytes: usize },
    #[error(
        "there is no directory {}; create it (in a systemd unit, RuntimeDirectory=corecast makes /run/corecast)",
        .directory.display()
    )]
    NoDirectory { directory: PathBuf },
    #[error(
        "{step} is not permitted ({source}); the service's user must be allowed to create and remove files in {} (in a systemd unit, RuntimeDirectory=corecast makes /run/corecast for it)",
        .directory.display()
    )]
    Forbidden { step: &'static str, directory: PathBuf, source: io::Error },
    #[error("{step} failed: {source}")]
    Other { step: &'static str, source: io::Error },
}

/// The file of a listening Unix socket. Dropping it removes the file, unless somebody else's has taken its place.
#[derive(Debug)]
pub struct UnixPath {
    path: PathBuf,
    identity: Identity,
}

impl UnixPath {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| Identity::of(&found) == self.identity) {
            // What cannot be removed is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Which file it is. The number alone may have been given to another file since; a socket's own time does not change.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Makes a socket that listens at this path.
///
/// Two services that are started at the same moment over the file of a dead third may both find it dead, and the one that
/// comes last wins: the kernel has no way to replace a socket's file only if nobody listens.
pub fn listen(path: &Path, backlog: i32) -> Result<(Socket, UnixPath), UnixPathError> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > PATH_BYTES_MAX {
        return Err(UnixPathError::TooLong { bytes });
    }
    let failed = |step| move |source| explain(path, step, source);
    remove_dead(path)?;
    let address = SockAddr::unix(path).map_err(failed("making the address"))?;
    let socket = new_socket()?;
    socket.bind(&address).map_err(failed("creating the socket's file"))?;
    let made = fs::symlink_metadata(path).map_err(failed("looking at the socket's file"))?;
    let unix_path = UnixPath { path: path.to_owned(), identity: Identity::of(&made) };
    socket.listen(backlog).map_err(failed("listen"))?;
    Ok((socket, unix_path))
}

/// Removes a socket's file that nobody listens on: a process that was killed leaves it behind, and no socket can be bound
/// where there is a file.
fn remove_dead(path: &Path) -> Result<(), UnixPathError> {
    let failed = |step| move |source| explain(path, step, source);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        // That includes a directory that is missing, which creating the file will tell.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(explain(path, "looking at what is there", error)),
    };
    if !found.file_type().is_socket() {
        return Err(UnixPathError::NotASocket { found: kind_name(found.file_type()) });
    }
    let address = SockAddr::unix(path).map_err(failed("making the address"))?;
    let probe = new_socket()?;
    // Else a connect waits for room in the queue of a service that does not accept.
    probe.set_nonblocking(true).map_err(failed("O_NONBLOCK"))?;
    match probe.connect(&address) {
        Ok(()) => return Err(UnixPathError::InUse),
        Err(error) => match error.raw_os_error().map(Errno) {
            Some(Errno::ECONNREFUSED) => {}
            Some(Errno::ENOENT) => return Ok(()),
            // Its queue is full, or it is another type of socket: somebody has it.
            Some(Errno::EAGAIN | Errno::EPROTOTYPE) => return Err(UnixPathError::InUse),
            _ => return Err(explain(path, "connecting to the socket that is there", error)),
        },
    }
    // Another service may have put its own there meanwhile: then creating ours says that it is in use.
    match fs::symlink_metadata(path) {
        Ok(now) if Identity::of(&now) == Identity::of(&found) => {
            fs::remove_file(path).map_err(failed("removing a dead socket's file"))
        }
        _ => Ok(()),
    }
}

fn new_socket() -> Result<Socket, UnixPathError> {
    Socket::new(Domain::UNIX, Type::STREAM, None)
        .map_err(|source| UnixPathError::Other { step: "making a socket", source })
}

fn explain(path: &Path, step: &'static str, source: io::Error) -> UnixPathError {
    let directory = || path.parent().unwrap_or(path).to_owned();
    match source.kind() {
        io::ErrorKind::AddrInUse => UnixPathError::InUse,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            UnixPathError::NoDirectory { directory: directory() }
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            UnixPathError::Forbidden { step, directory: directory(), source }
        }
        _ => UnixPathError::Other { step, source },
    }
}

fn kind_name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_file() {
        "a regular file"
    } else if kind.is_fifo() {
        "a named pipe"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    /// A directory of its own for a test, removed afterwards.
    struct Directory(PathBuf);

    impl Directory {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("corecast-unix-{}-{test}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn join(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn error(path: &Path) -> UnixPathError {
        listen(path, 16).expect_err("there can be no socket")
    }

    #[test]
    fn file_lives_as_long_as_its_guard() {
        let directory = Directory::new("guard");
        let path = directory.join("c.sock");
        let (socket, guard) = listen(&path, 16).unwrap();
        assert_eq!(guard.path(), path);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(guard);
        assert!(!path.exists());
    }

    #[test]
    fn dead_socket_is_replaced_and_a_live_one_is_in_use() {
        let directory = Directory::new("dead");
        let path = directory.join("c.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves it behind, as a killed process does");
        let (_socket, _guard) = listen(&path, 16).unwrap();
        UnixStream::connect(&path).unwrap();
        assert!(matches!(error(&path), UnixPathError::InUse));
        UnixStream::connect(&path).expect("the first still listens");
    }

    #[test]
    fn service_that_does_not_accept_is_in_use() {
        let directory = Directory::new("full");
        let path = directory.join("c.sock");
        let (_socket, _guard) = listen(&path, 0).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(matches!(error(&path), UnixPathError::InUse));
    }

    #[test]
    fn socket_of_another_type_is_in_use() {
        let directory = Directory::new("datagram");
        let path = directory.join("c.sock");
        let _datagrams = UnixDatagram::bind(&path).unwrap();
        assert!(matches!(error(&path), UnixPathError::InUse));
    }

    #[test]
    fn file_that_took_the_place_of_ours_is_left_alone() {
        let directory = Directory::new("other");
        let path = directory.join("c.sock");
        let (socket, guard) = listen(&path, 16).unwrap();
        drop(socket);
        fs::remove_file(&path).unwrap();
        let (_socket, _guard) = listen(&path, 16).unwrap();
        drop(guard);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn other_files_are_refused_by_name_and_left_alone() {
        let directory = Directory::new("kinds");
        let path = directory.join("c.sock");
        let refused = |kind: &str| {
            let text = error(&path).to_string();
            assert!(text.starts_with(&format!("there is {kind} in its place")), "{text}");
        };
        fs::write(&path, "precious").unwrap();
        refused("a regular file");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        symlink("elsewhere.sock", &path).unwrap();
        refused("a symbolic link");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused("a directory");
    }

    #[test]
    fn longest_path_has_107_bytes() {
        let directory = Directory::new("long");
        let room = 107 - directory.0.as_os_str().len() - 1;
        let (_socket, _guard) = listen(&directory.join(&"x".repeat(room)), 16).unwrap();
        let text = error(&directory.join(&"x".repeat(room + 1))).to_string();
        assert_eq!(
            text,
            "its path has 108 bytes, and that of a socket has at most 107; choose a shorter one"
        );
    }

    #[test]
    fn missing_directory_is_named() {
        let directory = Directory::new("missing");
        let text = error(&directory.join("no/c.sock")).to_string();
        let expected = format!("there is no directory {}; create it", directory.join("no").display());
        assert!(text.starts_with(&expected), "{text}");
        fs::write(directory.join("file"), "").unwrap();
        assert!(matches!(error(&directory.join("file/c.sock")), UnixPathError::NoDirectory { .. }));
    }

    #[test]
    fn directory_without_permission_is_named() {
        if rustix::process::geteuid().is_root() {
            println!("SKIPPED: root may write everywhere");
            return;
        }
        let directory = Directory::new("forbidden");
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o555)).unwrap();
        let text = error(&directory.join("c.sock")).to_string();
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
        let expected = format!("create and remove files in {}", directory.0.display());
        assert!(
            text.starts_with("creating the socket's file is not permitted") && text.contains(&expected),
            "{text}"
        );
    }

    #[test]
    fn what_the_kernel_says_of_permissions_is_explained() {
        let forbidden = |errno| {
            let source = io::Error::from_raw_os_error(errno);
            explain("/run/corecast/c.sock".as_ref(), "creating the socket's file", source).to_string()
        };
        // EACCES, EPERM, EROFS.
        for errno in [13, 1, 30] {
            let text = forbidden(errno);
            assert!(text.contains("files in /run/corecast (in a systemd unit, RuntimeDirectory="), "{text}");
        }
    }
}
