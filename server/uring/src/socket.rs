//! A socket option that no safe library has.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Has a listening socket hand out connections only when their first bytes are there (`TCP_DEFER_ACCEPT`, tcp(7)). One that
/// says nothing is handed out after about `seconds`, all the same.
///
/// # Errors
///
/// When it is no TCP socket.
pub fn set_tcp_defer_accept(socket: impl AsFd, seconds: u8) -> io::Result<()> {
    let seconds = libc::c_int::from(seconds);
    let length = libc::socklen_t::try_from(size_of_val(&seconds)).expect("the size of an int");
    // SAFETY: the value is an int on this stack frame, and the length is that of an int.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_connection_is_handed_out_with_its_first_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        set_tcp_defer_accept(&listener, 60).expect("a TCP socket");
        let address = listener.local_addr().expect("bound");
        let _silent = TcpStream::connect(address).expect("as far as the client can tell");
        let mut talking = TcpStream::connect(address).expect("listening");
        talking.write_all(b"GET").expect("connected");
        let (_, peer) = listener.accept().expect("one of them");
        assert_eq!(peer, talking.local_addr().expect("connected"), "the silent one came first");
    }

    #[test]
    fn other_sockets_have_no_such_option() {
        assert!(set_tcp_defer_accept(UnixDatagram::unbound().expect("a socket"), 1).is_err());
    }
}
