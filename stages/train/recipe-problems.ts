import type { Architecture } from '../../src/models/network.ts';
import { buildNetwork } from '../../src/models/zoo.ts';

/** The parameters that contradict each other where they are chosen carelessly. */
export interface CheckedParameters {
  readonly architecture: Architecture;
  readonly variant: 'paper' | 'torchvision';
  readonly widthMultiplier: number;
  readonly batchNorm: string;
  readonly epochs: number;
  readonly batchSize: number;
  readonly microBatchSize: number | null;
  readonly optimizer: string;
  readonly momentum: number;
  readonly schedule: string;
  readonly milestones: readonly number[];
  readonly warmupEpochs: number;
  readonly headEpochs: number;
  readonly frozenLayerCount: number;
}

export interface RecipeProblem {
  /** Of the parameter to change. */
  readonly name: keyof CheckedParameters;
  /** What follows its name: `must be …`. */
  readonly problem: string;
}

/** What cannot be meant, whatever the images are. */
export function recipeProblems(parameters: CheckedParameters): RecipeProblem[] {
  const { microBatchSize, batchSize, optimizer, momentum, schedule, milestones } = parameters;
  const { warmupEpochs, frozenLayerCount, architecture } = parameters;
  const layerCount = weightedLayerCount(architecture);
  const problems: (RecipeProblem | false)[] = [
    microBatchSize !== null &&
      microBatchSize > batchSize && {
        name: 'microBatchSize',
        problem: `must be at most batchSize, which is ${batchSize}`,
      },
    optimizer === 'nesterov' &&
      momentum === 0 && {
        name: 'momentum',
        problem: 'must be more than 0 for optimizer nesterov, which looks ahead by it',
      },
    milestones.some((epoch, i) => epoch <= (milestones[i - 1] ?? 0)) && {
      name: 'milestones',
      problem: 'must be in ascending order, each once',
    },
    schedule === 'one-cycle' &&
      warmupEpochs > 0 && {
        name: 'warmupEpochs',
        problem: 'must be 0 for schedule one-cycle, which has a rise of its own, riseFraction',
      },
    frozenLayerCount >= layerCount && {
      name: 'frozenLayerCount',
      problem: `must be at most ${layerCount - 1}: ${architecture} has ${layerCount} layers with weights, and the last dense one must learn`,
    },
  ];
  return problems.filter((problem) => problem !== false);
}

/** What will do as written, and hardly what was meant: a profile that shortens a recipe may want it. */
export function recipeWarnings(parameters: CheckedParameters): string[] {
  const { epochs, warmupEpochs, headEpochs, batchSize } = parameters;
  const { architecture, variant, widthMultiplier, batchNorm } = parameters;
  const warnings: (string | false)[] = [
    warmupEpochs >= epochs &&
      `"warmupEpochs" is ${warmupEpochs} of ${epochs} epochs: the rate rises to the end and the schedule never begins`,
    headEpochs >= epochs &&
      `"headEpochs" is ${headEpochs} of ${epochs} epochs: the last dense layer alone learns`,
    batchSize === 1 &&
      batchNorm === 'standard' &&
      architecture !== 'alexnet' &&
      '"batchSize" is 1: batch norm has one image to normalize by, and in the last layers of small images one value, which it makes zero; 2 or more train better',
    variant !== 'paper' &&
      architecture !== 'alexnet' &&
      `"variant" is for alexnet; ${architecture} is the same with ${variant}`,
    widthMultiplier !== 1 &&
      architecture !== 'mobilenet-v2' &&
      `"widthMultiplier" is for mobilenet-v2; ${architecture} keeps its width with ${widthMultiplier}`,
  ];
  return warnings.filter((warning) => warning !== false);
}

/** Convolutions and dense layers, which neither images, classes nor options change the number of. */
function weightedLayerCount(architecture: Architecture): number {
  const { layers } = buildNetwork({
    ...{ architecture, variant: 'paper', widthMultiplier: 1, padding: 'torch' },
    ...{ batchNorm: 'standard', dropout: 0, classCount: 2, imageSize: 224 },
  });
  return layers.filter(({ kind }) => kind === 'convolution' || kind === 'dense').length;
}
