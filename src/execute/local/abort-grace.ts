/** A stage that does not end by then after an abort is given up, unless its kind asks for longer. */
export const ABORT_GRACE_MS = 5000;
