/* The audit of delivery: counts missing and repeated ids. */

export class Audit {
  constructor() {
    this.messages = this.lost = this.repeated = 0;
    this.newest = null;
  }

  /** A message came. Returns whether it is new. */
  take(id) {
    this.messages += 1;
    if (this.newest !== null && id <= this.newest) {
      this.repeated += 1;
      return false;
    }
    if (this.newest !== null) this.lost += id - this.newest - 1;
    this.newest = id;
    return true;
  }

  /** The server announced a gap: ids go on after it. The next message counts the missing ones. */
  gap({ from }) {
    if (this.newest !== null && from <= this.newest) this.newest = from - 1;
  }
}
