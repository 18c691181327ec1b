#!/usr/bin/env node
import process from 'node:process';
import { nodeVersionProblem } from './setup/node-version.js';

// What `npm start`, `npm test` and the other scripts call. Only Node's own modules may be imported
// here and in setup/: a fresh clone has no packages yet. What needs a newer Node comes after the check.
const problem = nodeVersionProblem();
if (problem === undefined) {
  import('./setup/commands.js')
    .then(({ runSetupCommand }) => runSetupCommand(process.argv.slice(2)))
    .then((exitCode) => {
      process.exitCode = exitCode;
    });
} else {
  console.error(problem);
  process.exitCode = 1;
}
