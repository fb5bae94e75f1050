//! The allocator, and how soon it gives memory back.

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`: its place in the enumeration `mi_option_e`, for which libmimalloc-sys has no name.
const PURGE_DELAY: mi_option_t = 15;
/// What it is unless somebody has set it, in milliseconds.
const PURGE_DELAY_DEFAULT: std::ffi::c_long = 1000;

/// Has freed memory given back to the system at once. mimalloc would do it a second later, but only when it is asked for
/// something then: what a crowd of connections needed would stay resident until the next crowd. Does nothing where
/// `MIMALLOC_PURGE_DELAY` is set, or where another version's options are numbered otherwise.
///
/// To be called before there are other threads.
#[allow(unsafe_code)] // the only way to set it other than the environment, which is read before `main`
pub(crate) fn give_back_at_once() {
    let is_set = |name| std::env::var_os(name).is_some();
    if is_set("MIMALLOC_PURGE_DELAY") || is_set("mimalloc_purge_delay") {
        return;
    }
    // SAFETY: the functions check the number against the enumeration's end, and options are plain numbers that are only
    // written here, before there is a thread that could read them.
    unsafe {
        if mi_option_get(PURGE_DELAY) == PURGE_DELAY_DEFAULT {
            mi_option_set(PURGE_DELAY, 0);
        }
    }
}
