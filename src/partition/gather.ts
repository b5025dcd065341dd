// When an entry that may go waits for the next turn of the event loop, because appends are still coming in.
//
//   flush n durable --> its callers are answered --> they send again, one after the other --> entry n + 1
//                                                    while each turn brings some: wait, at most turnsMax turns
//
// Why: half of those who wait for the disk were answered by flush n, the other half waits already. Without the wait the
// two halves take turns for ever, each flush half as large as it could be. Measured at 64 in flight over a real disk: 51
// records a flush instead of 32, 17 % less CPU a record, at 8 in flight 30 % more records a second. Who writes alone
// does not wait: the entry before held one append.

const turnsMax = 8;

export class Gather {
  #waiting = 0;
  #turns = 0;
  #lastEntry = 0;

  /** An entry of so many appends goes out. */
  proposed(appends: number): void {
    this.#waiting = 0;
    this.#turns = 0;
    this.#lastEntry = appends;
  }

  /** Asked once a turn, with what waits now. True: ask again in the next turn. */
  goesOn(waiting: number): boolean {
    const grown = waiting > this.#waiting;
    this.#waiting = waiting;
    if (!grown || this.#lastEntry <= 1 || this.#turns === turnsMax) return false;
    this.#turns += 1;
    return true;
  }
}
