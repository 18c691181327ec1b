#!/usr/bin/env node
import process from 'node:process';
import { nodeVersionProblem } from './setup/node-version.js';

// The launcher: what is compiled may be absent in a checkout, and Node may be too old for it.
const problem = nodeVersionProblem();
if (problem === undefined) {
  import('./setup/launch.js')
    .then(({ launch }) => launch(process.argv.slice(2)))
    .then((exitCode) => {
      process.exitCode = exitCode;
    });
} else {
  console.error(problem);
  process.exitCode = 1;
}
