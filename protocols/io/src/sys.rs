//! The few system calls that neither the standard library nor monoio offers.
#![allow(unsafe_code)] // raw descriptors and libc calls; nothing else in here

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call before just returned this descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An eventfd with `count` on it; non-blocking, closed on exec.
pub(crate) fn eventfd(count: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    owned(unsafe { libc::eventfd(count, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// A timer that becomes readable every `period`; non-blocking, closed on exec.
pub(crate) fn ticker(period: Duration) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let timer = owned(unsafe {
        libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK)
    })?;
    let time = libc::timespec {
        tv_sec: period.as_secs() as libc::time_t,
        tv_nsec: period.subsec_nanos().into(),
    };
    let every = libc::itimerspec { it_interval: time, it_value: time };
    // SAFETY: `every` outlives the call; a null pointer for the old value is allowed.
    let set = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &every, std::ptr::null_mut()) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(timer) }
}

/// Borrows the descriptor of something that owns it (monoio's types tell only its number).
pub(crate) fn borrow<T: AsRawFd>(owner: &T) -> BorrowedFd<'_> {
    // SAFETY: `owner` keeps the descriptor open at least as long as it is borrowed itself.
    unsafe { BorrowedFd::borrow_raw(owner.as_raw_fd()) }
}

/// Whether both directions of a socket are closed, or it broke.
pub(crate) fn has_hung_up(socket: &impl AsFd) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: socket.as_fd().as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one `pollfd` that outlives the call, which does not wait.
    let ready = unsafe { libc::poll(&mut poll, 1, 0) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0)
}
