//! The fake ring: that without faults it does what the kernel's does, that each fault happens, and that
//! misuse is caught.

mod bench;
mod faults;
mod gather;
mod misuse;
mod surface;
