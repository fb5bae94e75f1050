/// What goes wrong on a [`FakeRing`](super::FakeRing), each as a probability from 0.0 to 1.0.
///
/// What a healthy kernel does as well is not a fault and always happens: no completion for a send that went
/// out whole, `EAGAIN` from a full socket, `ENOBUFS` when all buffers are lent, `ENFILE` from a full table.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Faults {
    /// A send is taken in part although the socket has room.
    pub short_send: f64,
    /// A send is refused with `EAGAIN` although the socket has room.
    pub refused_send: f64,
    /// A receive brings only some of what has arrived.
    pub split_receive: f64,
    /// A receive that brought bytes ends.
    pub receive_ends: f64,
    /// A receive ends with `ENOBUFS` although there are free buffers: when it is armed, or when it has something to say.
    pub no_buffer: f64,
    /// An accept that brought a connection ends.
    pub accept_ends: f64,
    /// An accept ends with a transient error before it brings a connection.
    pub accept_fails: f64,
    /// `PollWritable` completes although the socket has no room.
    pub poll_spurious: f64,
    /// A cancelled operation is found executing: `EALREADY`, and its own `ECANCELED` follows all the same.
    pub cancel_already: f64,
    /// The completion of a cancel, of what it cancelled, of a peer's address, of a shutdown or of a close is held back, so
    /// that others overtake it. A close's index may have a new connection before the close's completion is seen, and a
    /// shutdown's FIN may be out before sends that were pushed later: else it goes out with its completion.
    pub late_completion: f64,
    /// At a poll the completion queue is found to have overflowed: completions are delayed, accepts and
    /// receives end.
    pub cq_overflow: f64,
}

impl Faults {
    pub const fn none() -> Self {
        Self {
            short_send: 0.0,
            refused_send: 0.0,
            split_receive: 0.0,
            receive_ends: 0.0,
            no_buffer: 0.0,
            accept_ends: 0.0,
            accept_fails: 0.0,
            poll_spurious: 0.0,
            cancel_already: 0.0,
            late_completion: 0.0,
            cq_overflow: 0.0,
        }
    }

    /// Everything, often enough to meet in combination and rarely enough that work gets done.
    pub const fn all() -> Self {
        Self {
            short_send: 0.15,
            refused_send: 0.1,
            split_receive: 0.3,
            receive_ends: 0.1,
            no_buffer: 0.05,
            accept_ends: 0.2,
            accept_fails: 0.1,
            poll_spurious: 0.2,
            cancel_already: 0.3,
            late_completion: 0.4,
            cq_overflow: 0.03,
        }
    }
}
