//! The two clocks: the timetable's `CLOCK_MONOTONIC`, and Unix time for `/plan`.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::fs;

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

pub fn monotonic_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

pub fn unix_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// `CLOCK_REALTIME` less `CLOCK_MONOTONIC`: the tightest of three tries, for the process may be put aside in one.
pub fn offset_ns() -> i64 {
    let tries = [(); 3].map(|()| {
        let (before, real, after) = (monotonic_ns(), unix_ns(), monotonic_ns());
        (after - before, real - i64::midpoint(before, after))
    });
    tries.into_iter().min().map_or(0, |(_, offset)| offset)
}

/// Which boot of this machine it is: what `CLOCK_MONOTONIC` counts from.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
