import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { EnvironmentError } from '../../src/diagnostics/errors.ts';

/** A program that reads one JSON command a line and answers one JSON object a line. */
export interface LineProcess {
  /** @throws EnvironmentError `benchmark/process-ended` when it ends instead of answering. */
  ask(command: object): Promise<unknown>;
  /** Lets it end and waits until it has. */
  close(): Promise<void>;
}

export interface LineProgram {
  /** For people, such as `PyTorch`. */
  readonly name: string;
  readonly program: string;
  readonly programArguments: readonly string[];
  /** Besides this process's own variables. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** What it writes to stderr is shown. It ends with its input, so also when this process is killed. */
export function startLineProcess(options: LineProgram): LineProcess {
  const { name, program, programArguments, environment } = options;
  const child = spawn(program, programArguments, {
    env: { ...process.env, ...environment },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let problem = 'see its message above';
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      resolve();
    });
    child.once('error', (error) => {
      problem = error.message;
      resolve();
    });
  });
  child.stdin.on('error', () => undefined); // it has ended, which its missing answer tells
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(command) {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      const next: IteratorResult<string, unknown> = await answers.next();
      if (next.done === true) {
        await ended;
        const reason = child.signalCode === null ? problem : `killed by ${child.signalCode}`;
        throw new EnvironmentError({
          code: 'benchmark/process-ended',
          message: `the process of ${name} ended: ${reason}`,
          hint: 'a process killed by SIGKILL has mostly run out of memory',
        });
      }
      return JSON.parse(next.value) as unknown;
    },
    async close() {
      child.stdin.end();
      await ended;
    },
  };
}
