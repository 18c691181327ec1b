import type { z } from 'zod';
import { trainParameters } from './parameters.ts';

type TrainParameters = z.output<typeof trainParameters>;
type Name = keyof TrainParameters;

interface Use {
  readonly names: readonly Name[];
  /** What has to be chosen for them to count, and whether it is. */
  readonly choice: string;
  readonly isChosen: (parameters: TrainParameters) => boolean;
}

const USES: readonly Use[] = [
  {
    names: ['momentum'],
    choice: 'optimizer sgd or nesterov',
    isChosen: ({ optimizer }) => optimizer === 'sgd' || optimizer === 'nesterov',
  },
  {
    names: ['beta1', 'beta2', 'epsilon'],
    choice: 'optimizer adam or adamw',
    isChosen: ({ optimizer }) => optimizer === 'adam' || optimizer === 'adamw',
  },
  {
    names: ['milestones', 'gamma'],
    choice: 'schedule steps',
    isChosen: ({ schedule }) => schedule === 'steps',
  },
  {
    names: ['riseFraction'],
    choice: 'schedule one-cycle',
    isChosen: ({ schedule }) => schedule === 'one-cycle',
  },
];

/** What was set and has no effect beside the optimizer and the schedule that were chosen. */
export function unusedWarnings(parameters: TrainParameters): string[] {
  const defaults = trainParameters.parse({ architecture: parameters.architecture });
  const isSet = (name: Name): boolean =>
    JSON.stringify(parameters[name]) !== JSON.stringify(defaults[name]);
  return USES.filter(({ isChosen }) => !isChosen(parameters)).flatMap(({ names, choice }) =>
    names.filter(isSet).map((name) => `"${name}" has no effect: it is for ${choice}`),
  );
}
