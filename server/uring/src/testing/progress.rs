use super::connection::{Armed, Kind, Place};
use super::streams::Stream;
use super::{FakeRing, last};
use crate::completion::Completion;
use crate::errno::Errno;
use crate::op::File;

/// `POLLOUT`, what a completed `PollWritable` reports.
const POLLOUT: u32 = 0x4;
/// `POLLERR | POLLHUP`, reported besides when the connection was reset.
const POLLERR_POLLHUP: u32 = 0x18;

/// How operations complete.
impl FakeRing {
    /// Lets the operations that the kernel holds meet what has happened outside.
    pub(super) fn progress(&mut self) {
        for listener in 0..self.listeners.len() {
            self.progress_accept(listener);
        }
        for connection in std::mem::take(&mut self.touched) {
            self.progress_receive(connection);
            self.progress_poll(connection);
            if self.connections[connection as usize].is_ready() {
                self.touched.insert(connection);
            }
        }
        let now = self.now;
        let due: Vec<_> = self.timers.extract_if(.., |&mut (due, _)| due <= now).collect();
        for (_, token) in due {
            self.armed.remove(&token.to_u64());
            self.complete_loose(last(token, Err(Errno::ETIME)), false);
        }
    }

    fn progress_accept(&mut self, listener: usize) {
        while let Some(Armed { token, ends }) = self.listeners[listener].accept {
            let Some(&connection) = self.listeners[listener].waiting.front() else { return };
            let result;
            if self.chance(self.faults.accept_fails) {
                result =
                    Err([Errno::ECONNABORTED, Errno::ENOBUFS, Errno::ENOMEM, Errno::EPROTO]
                        [self.rng.usize(..4)]);
            } else {
                self.listeners[listener].waiting.pop_front();
                result = self.free_files.pop().map(|file| file.0).ok_or(Errno::ENFILE);
                match result {
                    Ok(file) => {
                        self.files[file as usize] = Some(connection);
                        self.connections[connection as usize].place = Place::Accepted(File(file));
                    }
                    Err(_) => self.connections[connection as usize].close(),
                }
            }
            let more = result.is_ok() && !ends && !self.chance(self.faults.accept_ends);
            if !more {
                self.listeners[listener].accept = None;
                self.armed.remove(&token.to_u64());
            }
            self.complete_accept(listener, Completion { more, ..last(token, result) }, false);
        }
    }

    fn progress_receive(&mut self, connection: u32) {
        while let Some(Armed { token, ends }) = self.connections[connection as usize].receive {
            let end = &mut self.connections[connection as usize];
            let is_new = std::mem::take(&mut end.receive_is_new);
            let is_silent = !end.has_something_to_receive();
            if is_silent && !is_new {
                return;
            }
            // The kernel picks a buffer before it looks into the socket.
            let no_buffer = self.free_buffers.is_empty() || self.chance(self.faults.no_buffer);
            if is_silent && !no_buffer {
                return;
            }
            let split = self.chance(self.faults.split_receive);
            let end = &mut self.connections[connection as usize];
            let (result, buffer) = if no_buffer {
                self.stats.receives_without_buffer += 1;
                (Err(Errno::ENOBUFS), None)
            } else if end.inbound.is_empty() {
                (end.receive_end(), None)
            } else {
                let mut count = end.inbound.len().min(self.memory.buffer_bytes() as usize);
                if split {
                    count = self.rng.usize(1..=count);
                }
                let length = u32::try_from(count).expect("at most a buffer's size");
                let id = self.free_buffers.pop().expect("looked for above");
                let mut buffer = self.memory.lend(id, length);
                for (to, from) in buffer.iter_mut().zip(end.inbound.drain(..count)) {
                    *to = from;
                }
                (Ok(length), Some(buffer))
            };
            let more = buffer.is_some() && !ends && !self.chance(self.faults.receive_ends);
            if !more {
                self.connections[connection as usize].receive = None;
                self.armed.remove(&token.to_u64());
            }
            let over = (!more).then_some(Kind::Receive);
            self.complete(connection, Completion { more, buffer, ..last(token, result) }, over, false);
            if split {
                // The rest has not arrived yet.
                return;
            }
        }
    }

    fn progress_poll(&mut self, connection: u32) {
        let Some(Armed { token, .. }) = self.connections[connection as usize].poll_writable else { return };
        let end = &self.connections[connection as usize];
        let (writable, broken) = (end.is_writable(), end.peer_reset);
        if !writable && !self.chance(self.faults.poll_spurious) {
            return;
        }
        self.connections[connection as usize].poll_writable = None;
        self.armed.remove(&token.to_u64());
        let events = POLLOUT | if broken { POLLERR_POLLHUP } else { 0 };
        self.complete(connection, last(token, Ok(events)), Some(Kind::PollWritable), false);
    }

    /// Hands out completions, in an order that nobody can rely on.
    pub(super) fn hand_out(&mut self, completions: &mut Vec<Completion>) {
        let mut most = self.completion_entries;
        let waiting = self.pending.len();
        if waiting > most || (waiting > 0 && self.chance(self.faults.cq_overflow)) {
            self.stats.cq_overflows += 1;
            most = most.min(self.rng.usize(..=waiting));
            self.end_multishots();
        }
        for pending in self.pending.take(&mut self.rng, most, self.faults.late_completion) {
            self.stats.cqes += 1;
            if let Some((connection, kind)) = pending.settles {
                let end = &mut self.connections[connection as usize];
                let settled = (pending.completion.token, kind);
                let position = end.in_flight.iter().position(|&operation| operation == settled);
                end.in_flight.swap_remove(position.expect("it was counted when it was pushed"));
                match kind {
                    Kind::Close => self.free_files.extend(end.freed_by_close.take()),
                    Kind::Shutdown => self.finish(connection),
                    _ => {}
                }
            }
            if let (Stream::Listener(listener), false) = (pending.stream, pending.completion.more) {
                self.listeners[listener].in_flight = false;
            }
            completions.push(pending.completion);
        }
    }

    /// A full completion queue ends what would post into it: its next completion is its last.
    fn end_multishots(&mut self) {
        for accept in self.listeners.iter_mut().filter_map(|listener| listener.accept.as_mut()) {
            accept.ends = true;
        }
        for receive in self.connections.iter_mut().filter_map(|connection| connection.receive.as_mut()) {
            receive.ends = true;
        }
    }
}
