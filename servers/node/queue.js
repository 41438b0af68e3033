/* A first-in, first-out queue. An array's shift() moves every element once there are some thousands of them. */

export class Queue {
  #items = [];
  #head = 0;

  get length() {
    return this.#items.length - this.#head;
  }

  get first() {
    return this.#items[this.#head];
  }

  push(item) {
    this.#items.push(item);
  }

  shift() {
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head > 1024 && 2 * this.#head > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** The newest `count` items, the oldest of them first. */
  newest(count) {
    return this.#items.slice(Math.max(this.#head, this.#items.length - count));
  }
}
