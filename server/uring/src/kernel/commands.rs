use std::cell::UnsafeCell;
use std::net::SocketAddr;

use io_uring::{opcode, squeue, types};

use crate::address::{IPV4_BYTES, IPV6_BYTES, RawAddress};
use crate::errno::Errno;
use crate::op::{File, SocketOption};
use crate::token::Token;

/// `SOCKET_URING_OP_GETSOCKOPT` of `linux/io_uring.h`.
const SOCKET_GET_OPTION: u32 = 2;
/// Bytes of an address that has nothing but a family: a Unix socket's that was never bound.
const FAMILY_BYTES: u32 = 2;

/// Socket options read and set through the ring: operations with memory that must stay in place until they
/// complete.
///
/// Such an operation is known to the kernel under a token of the ring, whose slot is the command's place
/// here; the caller's token waits in the command. As it completes while it is submitted there is never one to
/// cancel.
#[derive(Default)]
pub(crate) struct Commands {
    #[expect(clippy::vec_box, reason = "the kernel's memory must stay in place when the vector grows")]
    cells: Vec<Box<Command>>,
    free: Vec<u32>,
}

struct Command {
    token: Token,
    file: File,
    question: Question,
    /// The kernel reads or writes it between submission and completion; we only before and after.
    value: UnsafeCell<RawAddress>,
}

#[derive(Copy, Clone, Eq, PartialEq)]
enum Question {
    Set,
    /// The peer's address, as this many bytes.
    PeerAddress(u32),
}

/// What has become of a command whose completion was reaped.
pub(crate) enum Answer {
    Done {
        token: Token,
        result: Result<u32, Errno>,
        address: Option<SocketAddr>,
    },
    /// Ask once more, with this entry.
    Again(squeue::Entry),
}

impl Commands {
    /// The kernel wants to be asked for exactly as many bytes as an address has (more is `EINVAL`), and gives
    /// fewer when fewer are asked for. So the first question has an IPv4 address's length; its answer, or its
    /// failure, tells whether a second is needed.
    pub(crate) fn peer_address(&mut self, token: Token, file: File) -> squeue::Entry {
        let slot = self.place(token, file, Question::PeerAddress(IPV4_BYTES), RawAddress::default());
        self.entry_for_peer_address(slot, IPV4_BYTES)
    }

    pub(crate) fn set_option(&mut self, token: Token, file: File, option: SocketOption) -> squeue::Entry {
        let (level, name, value) = match option {
            SocketOption::NoDelay => (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
            SocketOption::BindAddressNoPort => (libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1),
            SocketOption::ReceiveBuffer(bytes) => (libc::SOL_SOCKET, libc::SO_RCVBUF, bytes),
            SocketOption::SendBuffer(bytes) => (libc::SOL_SOCKET, libc::SO_SNDBUF, bytes),
            SocketOption::NotSentLowat(bytes) => (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes),
            // `struct linger`: on, for 0 seconds.
            SocketOption::ResetOnClose => (libc::SOL_SOCKET, libc::SO_LINGER, 1),
        };
        let slot = self.place(token, file, Question::Set, RawAddress::from_numbers(value, 0));
        let pointer = self.cells[slot as usize].value.get().cast::<libc::c_void>();
        // The kernel takes what the option needs: four bytes, or eight.
        let bytes = u32::try_from(2 * size_of::<u32>()).expect("eight");
        opcode::SetSockOpt::new(
            types::Fixed(file.0),
            level.cast_unsigned(),
            name.cast_unsigned(),
            pointer,
            bytes,
        )
        .build()
        .user_data(Self::ring_token(slot).to_u64())
    }

    /// Takes the completion of the command in this slot.
    pub(crate) fn complete(&mut self, slot: u32, result: Result<u32, Errno>) -> Answer {
        let command = &mut self.cells[slot as usize];
        // `get_mut` needs no unsafe: the operation has completed, so the kernel is done with the memory.
        let value = *command.value.get_mut();
        let next = match (command.question, result) {
            (Question::PeerAddress(IPV4_BYTES), Ok(_)) if value.family() == libc::AF_INET6 => {
                Some(IPV6_BYTES)
            }
            (Question::PeerAddress(IPV4_BYTES), Err(Errno::EINVAL)) => Some(FAMILY_BYTES),
            _ => None,
        };
        if let Some(bytes) = next {
            command.question = Question::PeerAddress(bytes);
            return Answer::Again(self.entry_for_peer_address(slot, bytes));
        }
        let token = command.token;
        let address = match (command.question, result) {
            (Question::PeerAddress(_), Ok(_)) => value.to_socket_addr(),
            _ => None,
        };
        self.free.push(slot);
        Answer::Done { token, result, address }
    }

    fn place(&mut self, token: Token, file: File, question: Question, value: RawAddress) -> u32 {
        let command = Command { token, file, question, value: UnsafeCell::new(value) };
        if let Some(slot) = self.free.pop() {
            *self.cells[slot as usize] = command;
            return slot;
        }
        self.cells.push(Box::new(command));
        u32::try_from(self.cells.len() - 1).expect("commands are few: they complete while they are submitted")
    }

    fn entry_for_peer_address(&self, slot: u32, bytes: u32) -> squeue::Entry {
        let command = &self.cells[slot as usize];
        let (level, name) = (libc::SOL_SOCKET.cast_unsigned(), libc::SO_PEERNAME.cast_unsigned());
        let pointer = command.value.get().cast::<libc::c_void>();
        let mut entry = opcode::SetSockOpt::new(types::Fixed(command.file.0), level, name, pointer, bytes)
            .build()
            .user_data(Self::ring_token(slot).to_u64());
        // The io-uring crate builds only the setting twin, which differs in nothing but the command's number.
        // SAFETY: an entry is 64 bytes laid out as the kernel's `io_uring_sqe`, in which `cmd_op` is the u32
        // at byte 8.
        unsafe { (&raw mut entry).cast::<u32>().add(2).write(SOCKET_GET_OPTION) };
        entry
    }

    fn ring_token(slot: u32) -> Token {
        Token::new(super::KIND_COMMAND, slot, 0)
    }
}
