import { z } from 'zod';
import { ARCHITECTURES } from '../../src/models/network.ts';
import { PRECISIONS } from '../../src/training/precision.ts';
import { OPTIMIZERS } from '../../src/training/optimizer-types.ts';
import { recipeProblems } from './recipe-problems.ts';

const fields = z.strictObject({
  architecture: z.enum(ARCHITECTURES).describe('Network to train.'),
  variant: z
    .enum(['paper', 'torchvision'])
    .default('paper')
    .describe(
      'AlexNet only. paper: first convolution without padding, no adaptive pool (6400 features at 224 px); torchvision: as published there (9216).',
    ),
  widthMultiplier: z
    .number()
    .min(0.1)
    .max(4)
    .default(1)
    .describe('MobileNetV2 only: factor on the channels of every layer.'),
  padding: z
    .enum(['torch', 'same'])
    .default('torch')
    .describe(
      "torch: k/2 zeros on both sides, as torchvision. same: TensorFlow's rule, for initial weights that come from Keras.",
    ),
  batchNorm: z
    .enum(['standard', 'none'])
    .default('standard')
    .describe(
      'standard: as published; rebuilt from the statistics of training images when the initial weights have it folded. none: convolutions with biases instead, for folded initial weights.',
    ),
  dropout: z
    .number()
    .min(0)
    .max(0.9)
    .nullable()
    .default(null)
    .describe("Before the dense layers. null: the paper's, 0.5 for alexnet and 0 for the others."),
  initialization: z
    .enum(['published', 'he'])
    .default('published')
    .describe(
      "Of a random start. published: as the networks' sources (AlexNet: normal(0, 0.01)). he: normal(0, sqrt(2 / fan-in)) and zero biases, for AlexNet on small sets.",
    ),
  epochs: z.int().min(1).default(20).describe('Passes over the training images.'),
  timeLimitMinutes: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe(
      'Schedules steps and constant begin no epoch that would end later than this, at the pace of the one before. cosine and one-cycle come to their end with it: the epoch that then runs, be it the first, is cut short and validated. null: no limit. With it the result depends on the speed of the machine.',
    ),
  batchSize: z.int().min(1).max(1024).default(64).describe('Images a step.'),
  microBatchSize: z
    .int()
    .min(2)
    .nullable()
    .default(null)
    .describe(
      'Images that go through the network at a time, their gradients summed up to those of the batch, so that it takes less memory; batch norm then sees only as many images. At most batchSize. null: the whole batch.',
    ),
  precision: z
    .enum(PRECISIONS)
    .default('float32')
    .describe(
      'bfloat16: convolutions, dense layers and activations in training, for CPUs with instructions for it (AVX512_BF16, AMX), where it is faster and takes half the memory; on others float32 is used and the report says so. Weights, batch-norm statistics, loss, updates and validation stay float32.',
    ),
  kernelTimes: z
    .enum(['skip', 'measure'])
    .default('skip')
    .describe(
      'measure: reports how long each kind of TensorFlow kernel took in forward and backward passes, updates, the average of the weights and validation, the costliest first.',
    ),
  optimizer: z
    .enum(OPTIMIZERS)
    .default('sgd')
    .describe('As PyTorch defines them: SGD with momentum, the same after Nesterov, Adam, AdamW.'),
  learningRate: z
    .number()
    .positive()
    .default(1e-4)
    .describe('Rate that the schedule starts from, or for one-cycle reaches.'),
  momentum: z.number().min(0).max(0.999).default(0.9).describe('Momentum of sgd and nesterov.'),
  beta1: z
    .number()
    .min(0)
    .max(0.9999)
    .default(0.9)
    .describe('adam, adamw: share of the mean gradient that each step keeps.'),
  beta2: z
    .number()
    .min(0)
    .max(0.99999)
    .default(0.999)
    .describe('adam, adamw: share of the mean squared gradient that each step keeps.'),
  epsilon: z
    .number()
    .positive()
    .default(1e-8)
    .describe('adam, adamw: added to the root of the mean squared gradient.'),
  weightDecay: z
    .number()
    .min(0)
    .default(1e-4)
    .describe(
      "As PyTorch's optimizers apply it: adamw to the weights, the others to the gradients.",
    ),
  weightDecayOn: z
    .enum(['all', 'weights'])
    .default('all')
    .describe('all: every parameter, as in the paper. weights: neither biases nor batch norm.'),
  schedule: z
    .enum(['steps', 'cosine', 'one-cycle', 'constant'])
    .default('steps')
    .describe(
      'steps: the rate times `gamma` at each of `milestones`. cosine: after the warm-up half a cosine down to zero at the end of the epochs or of the time limit, as CosineAnnealingLR. one-cycle: up from 1/25 of the rate, then down to 1/250000 of it, as OneCycleLR without a cycle of the momentum.',
    ),
  milestones: z
    .array(z.int().min(1))
    .default([100, 150])
    .describe('Epochs after which the rate drops, for schedule steps.'),
  gamma: z.number().positive().max(1).default(0.1).describe('Factor at each milestone.'),
  riseFraction: z
    .number()
    .min(0)
    .max(1)
    .default(0.3)
    .describe('one-cycle: share of the steps in which the rate goes up.'),
  warmupEpochs: z
    .number()
    .min(0)
    .default(0)
    .describe(
      'Epochs over which the rate grows, fractions allowed: in step i of n to i/n of it, as LinearLR. Fewer than epochs; 0 for one-cycle, which rises by itself.',
    ),
  headLearningRateFactor: z
    .number()
    .positive()
    .default(1)
    .describe('Factor on the rate of the last dense layer, for a new head on trained layers.'),
  headEpochs: z
    .int()
    .min(0)
    .default(0)
    .describe('Epochs at the start in which the last dense layer alone learns.'),
  frozenLayerCount: z
    .int()
    .min(0)
    .default(0)
    .describe(
      'Convolutions and dense layers, from the image on, that never learn; their batch norm keeps its statistics, too.',
    ),
  averageDecay: z
    .number()
    .gt(0)
    .lt(1)
    .nullable()
    .default(null)
    .describe(
      'Decay by step of a moving average of the weights, which is validated and kept in place of the last ones; 0.999 is usual. After step i (from 0) it is min(averageDecay, (1 + i) / (10 + i)), so that the initial weights are soon forgotten. null: none.',
    ),
  patience: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      'Ends the training after so many epochs without a better validation; those of headEpochs and warmupEpochs are not counted, though the best may be one of them. null: never.',
    ),
  classWeights: z
    .enum(['none', 'balanced', 'square-root'])
    .default('none')
    .describe(
      'Weight of each class in the loss, as PyTorch takes it. balanced: by one over its share of the training images; square-root: by the root of that.',
    ),
  sampling: z
    .enum(['shuffled', 'balanced'])
    .default('shuffled')
    .describe(
      'Images of an epoch. shuffled: each once. balanced: equally many of each class, so that images of rare ones come several times.',
    ),
  labelSmoothing: z
    .number()
    .min(0)
    .max(0.5)
    .default(0)
    .describe('Probability spread evenly over all classes in the training targets.'),
  flip: z
    .enum(['none', 'horizontal', 'both'])
    .default('none')
    .describe(
      'Random flips made anew each epoch, besides those of the augment stage; both: rows as well.',
    ),
  shiftFraction: z
    .number()
    .min(0)
    .max(0.25)
    .default(0)
    .describe('Random shifts made anew each epoch: largest, as a fraction of the side.'),
  validationSplit: z
    .enum(['validation', 'test'])
    .default('validation')
    .describe(
      'Split that scores the checkpoints. test is what the paper did; its accuracy is then optimistic.',
    ),
  checkpoint: z
    .enum(['best', 'last'])
    .default('best')
    .describe(
      'best: the weights of the epoch with the highest validation accuracy, of equals the lowest loss. last: of the last epoch.',
    ),
  checkpointMinutes: z
    .number()
    .positive()
    .default(10)
    .describe(
      'Longest time between two checkpoints, from which a killed or interrupted training goes on; there is one after each epoch besides. Changed, it begins anew, as with any other parameter.',
    ),
  seed: z.int().min(0).default(0).describe('For initial weights, order of images, flips, dropout.'),
});

/** Mistakes that parameters alone show are told before anything runs; see also `recipeWarnings`. */
export const trainParameters = fields.superRefine((parameters, context) => {
  for (const { name, problem } of recipeProblems(parameters)) {
    context.addIssue({ code: 'custom', path: [name], message: problem });
  }
});
