import { createLogUpdate } from 'log-update';
import pc from 'picocolors';
import {
  failureLines,
  noticeLine,
  progressText,
  showDuration,
  skippedLine,
  stageLine,
  summaryLine,
  waitingLine,
  warningLine,
} from './event-text.ts';
import type { Reporter } from './reporter.ts';
import type { RunEvent } from './run-event.ts';

const BAR_WIDTH = 20;
/** Times of stages without progress go on counting. */
const REFRESH_MS = 1000;

interface RunningStage {
  readonly line: string;
  readonly startedAt: number;
  progress: Extract<RunEvent, { type: 'stage-progress' }> | null;
}

/** Lines for finished stages, and below them one live line for each running stage. */
export function createTerminalReporter(output: NodeJS.WriteStream): Reporter {
  const live = createLogUpdate(output);
  const running = new Map<string, RunningStage>();
  const draw = (): void => live([...running.values()].map(drawStage).join('\n'));
  const timer = setInterval(draw, REFRESH_MS).unref();
  const print = (lines: readonly string[]): void => {
    live.clear();
    for (const line of lines) output.write(`${line}\n`);
    draw();
  };
  return {
    report(event) {
      switch (event.type) {
        case 'run-started':
          break;
        case 'lock-waiting':
          print([pc.yellow(waitingLine(event))]);
          break;
        case 'stage-started':
          running.set(event.stageId, {
            line: stageLine(event),
            startedAt: Date.now(),
            progress: null,
          });
          draw();
          break;
        case 'stage-progress': {
          const stage = running.get(event.stageId);
          if (stage !== undefined) stage.progress = event;
          draw();
          break;
        }
        case 'stage-notice':
          print([noticeLine(event)]);
          break;
        case 'stage-warning':
          print([pc.yellow(warningLine(event))]);
          break;
        case 'stage-finished': {
          const line = running.get(event.stageId)?.line ?? event.stageId;
          running.delete(event.stageId);
          const isRun = event.action === 'run';
          print([
            isRun
              ? `${pc.green('✔')} ${line}  ${pc.dim(showDuration(event.durationMs))}`
              : `${pc.dim('✔')} ${pc.dim(line)}`,
          ]);
          break;
        }
        case 'stage-failed': {
          running.delete(event.stageId);
          const [first = '', ...rest] = failureLines(event);
          print([`${pc.red('✖')} ${pc.red(first)}`, ...rest]);
          break;
        }
        case 'stage-skipped':
          running.delete(event.stageId);
          print([`${pc.dim('-')} ${pc.dim(skippedLine(event))}`]);
          break;
        case 'run-finished':
          running.clear(); // whatever was interrupted
          print(event.error === undefined ? [summaryLine(event)] : []); // the error itself is told
          break;
        default:
          event satisfies never;
      }
    },
    close() {
      clearInterval(timer);
      running.clear();
      live.clear();
      live.done(); // shows the cursor again
    },
  };
}

function drawStage({ line, progress, startedAt }: RunningStage): string {
  if (progress === null) {
    return `${pc.cyan('▸')} ${line}  ${pc.dim(showDuration(Math.floor((Date.now() - startedAt) / 1000) * 1000))}`;
  }
  const { done, total } = progress;
  const bar = total === undefined || total <= 0 ? '' : `${drawBar(done / total)} `;
  return `${pc.cyan('▸')} ${line}\n    ${bar}${pc.dim(progressText(progress))}`;
}

function drawBar(fraction: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
  return `${pc.green('█'.repeat(filled))}${pc.dim('░'.repeat(BAR_WIDTH - filled))}`;
}
