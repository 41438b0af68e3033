/* Delivery, audited: ids follow each other without a hole, and none comes twice. */

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

  /** The server said that it cannot give some: ids go on from there. What is missing is counted when the next comes. */
  gap({ from }) {
    if (this.newest !== null && from <= this.newest) this.newest = from - 1;
  }
}
