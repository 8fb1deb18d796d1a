/**
 * Sees to it that a process which ends while something is unfinished does not look as if it had been done: code of a
 * user's own may call `process.exit(0)`, and a promise that nothing will settle lets Node end by itself. The exit status
 * is then 1, unless it says already that something is wrong.
 * @param leave told of the exit status that the process would have had. It can await nothing.
 * @returns a function to call when it is done.
 */
export function whileUnfinished(leave: (status: number) => void): () => void {
  const listener = () => {
    const status = Number(process.exitCode ?? 0);
    if (status === 0) process.exitCode = 1;
    leave(status);
  };
  // Before those that release what is locked.
  process.prependListener('exit', listener);
  return () => void process.off('exit', listener);
}
