/* The two clocks: the timetable's CLOCK_MONOTONIC, which process.hrtime reads, and Unix time for /plan. */

const NS_PER_MS = 1_000_000n;

/** Unix time less CLOCK_MONOTONIC, in nanoseconds. Date.now() counts whole milliseconds: wait for one to begin. */
export function offsetNs() {
  const before = Date.now();
  let now;
  do now = Date.now();
  while (now === before);
  return BigInt(now) * NS_PER_MS - process.hrtime.bigint();
}
