// Ends a test file that waits for what a mutant keeps from coming. It counts turns instead of time: a process that is
// stopped, or gets no processor on a busy machine, makes none, and is not taken for one that waits.
const INTERVAL = 100;
const MOST_TURNS = 60;

let turns = 0;
setInterval(() => {
  turns++;
  if (turns === MOST_TURNS) {
    console.log('not ok 1 - waits for ever');
    process.exit(1);
  }
}, INTERVAL).unref();
