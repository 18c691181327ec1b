/** What stops the set-up: one sentence why, and what the user can do about it. */
export class SetupError extends Error {
  constructor(message, hint, detail = '') {
    super(message);
    this.name = 'SetupError';
    this.hint = hint;
    /** Last lines of a program's output; empty where there are none. */
    this.detail = detail;
  }
}
