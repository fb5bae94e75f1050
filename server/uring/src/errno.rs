use std::{fmt, io};

/// An error number of the kernel, positive, as in `errno(3)`.
#[derive(Copy, Clone, Eq, PartialEq, Hash)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(pub const $name: Self = Self(libc::$name);)*

            /// The symbolic name, for example `"ECONNRESET"`; `"errno"` for a number that is not listed here.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $(libc::$name => stringify!($name),)*
                    _ => "errno",
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT EINTR EIO EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EINVAL ENFILE EMFILE EPIPE ENOSYS
    ETIME EBADR EPROTO EPROTOTYPE EOVERFLOW ENOTSOCK EMSGSIZE ENOPROTOOPT EOPNOTSUPP EAFNOSUPPORT EADDRINUSE
    EADDRNOTAVAIL ENETDOWN ENETUNREACH ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETIMEDOUT ECONNREFUSED
    EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ECANCELED
}

impl Errno {
    /// Reads a completion's result: below zero it is a negated error number.
    pub(crate) fn from_result(result: i32) -> Result<u32, Self> {
        u32::try_from(result).map_err(|_| Self(-result))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), io::Error::from(*self))
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_results_become_positive_numbers() {
        assert_eq!(Errno::from_result(-104), Err(Errno::ECONNRESET));
        assert_eq!(Errno::from_result(0), Ok(0));
        assert_eq!(Errno::from_result(i32::MAX), Ok(2_147_483_647));
    }

    #[test]
    fn an_errno_is_named_and_explained() {
        assert_eq!(Errno(104).name(), "ECONNRESET");
        assert_eq!(Errno(104).to_string(), "ECONNRESET (Connection reset by peer (os error 104))");
        assert_eq!(io::Error::from(Errno(104)).kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(Errno(9_999).name(), "errno");
    }
}
