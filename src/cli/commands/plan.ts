import { planPipeline } from '../../plan/make-plan.ts';
import type { Plan, PlannedStage } from '../../plan/planned-stage.ts';
import type { Pipeline } from '../../pipeline/spec.ts';
import type { CommandCall } from '../command-context.ts';
import { loadPipelineFile } from '../load-pipeline-file.ts';
import { machineFingerprint } from '../machine-fingerprint.ts';

/** `drq plan`: what a run would do and why; changes nothing. */
export async function plan(call: CommandCall): Promise<number> {
  const [file = '', ...stages] = call.arguments; // the command line requires the file
  const pipeline = await loadPipelineFile(file, call);
  const planned = await planOf(pipeline, stages, call);
  call.context.print(
    call.options.json === true ? JSON.stringify(planned, null, 2) : describePlan(planned),
  );
  return planExitCode(planned);
}

/** 1 where a stage is known to fail. */
export function planExitCode({ stages }: Plan): number {
  return stages.some(({ action }) => action === 'fails') ? 1 : 0;
}

export async function planOf(
  pipeline: Pipeline,
  stages: readonly string[],
  call: CommandCall,
): Promise<Plan> {
  const force = call.options.force ?? false;
  return planPipeline(pipeline, { stages, force, machineFingerprint });
}

/** One line a stage, `run  train  parameters.epochs 5 → 10`, and a summary. */
export function describePlan({ stages }: Plan): string {
  const actionWidth = Math.max(...stages.map(({ action }) => wordFor(action).length));
  const idWidth = Math.max(...stages.map(({ stageId }) => stageId.length));
  const lines = stages.map(({ action, stageId, reason }) =>
    `${wordFor(action).padEnd(actionWidth)}  ${stageId.padEnd(idWidth)}  ${reason}`.trimEnd(),
  );
  const counts = (['run', 'restore', 'up-to-date', 'waits', 'fails'] as const)
    .map((action) => ({ action, count: stages.filter((stage) => stage.action === action).length }))
    .filter(({ count }) => count > 0)
    .map(({ action, count }) => `${count} ${wordFor(action)}`);
  return [
    ...lines,
    '',
    `${stages.length} ${stages.length === 1 ? 'stage' : 'stages'}: ${counts.join(', ')}`,
  ].join('\n');
}

function wordFor(action: PlannedStage['action']): string {
  return action === 'up-to-date' ? 'up to date' : action;
}
