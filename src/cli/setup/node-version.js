import process from 'node:process';

/** Written for old versions of Node too: the message must appear instead of a syntax error. */
const OLDEST = [20, 19];

/** Why this Node cannot run drq; undefined when it can. */
export function nodeVersionProblem(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return undefined;
  return (
    `error: drq needs Node ${OLDEST.join('.')} or newer; this is Node ${version}\n` +
    '  hint: install a current Node (20, 22, 24 or newer) and run the command again'
  );
}
