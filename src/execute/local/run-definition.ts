import { closeSync, openSync, writeSync } from 'node:fs';
import { z } from 'zod';
import { InternalError } from '../../diagnostics/errors.ts';
import type { StageExecution } from '../executor.ts';

/** Calls a stage's `run` in this process, with its log open. */
export async function runDefinition(execution: StageExecution): Promise<void> {
  const { request, definition, listener, signal } = execution;
  const schema = definition.parameters as z.ZodType; // AnyStageDefinition hides which schema it is
  const parsed = schema.safeParse(request.parameters);
  if (!parsed.success) {
    // The pipeline was checked with the same schema before.
    throw new InternalError(
      `parameters of ${request.stageId} do not pass their own schema: ${z.prettifyError(parsed.error)}`,
    );
  }
  // Written at once and in order with what libraries print to the same file.
  const log = openSync(request.logPath, 'a');
  const writeLine = (line: string): void => {
    writeSync(log, `${line}\n`);
  };
  try {
    await definition.run({
      progress: (update) => listener.progress(update),
      log: writeLine,
      warn: (message) => {
        writeLine(`warning: ${message}`);
        listener.warn(message);
      },
      notice: (message) => {
        writeLine(message);
        listener.notice(message);
      },
      signal,
      stageId: request.stageId,
      parameters: parsed.data,
      inputs: request.inputs,
      outputs: request.outputs,
      declaredOutputPaths: request.declaredOutputPaths,
      scratchPath: request.scratchPath,
      checkpointPath: request.checkpointPath,
      resources: { cpuCount: request.cpuCount },
      projectRoot: request.projectRoot,
    });
  } finally {
    closeSync(log);
  }
}
