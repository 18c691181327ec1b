import { z } from 'zod';
import { ARCHITECTURES } from '../../src/models/network.ts';

export const trainParameters = z.strictObject({
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
      'Begins no epoch that would end later than this, at the pace of the one before; null: no limit. With it the result depends on the speed of the machine.',
    ),
  batchSize: z.int().min(1).max(1024).default(64).describe('Images a step.'),
  learningRate: z.number().positive().default(1e-4).describe('Rate of SGD before the schedule.'),
  momentum: z.number().min(0).max(0.999).default(0.9).describe('Momentum of SGD.'),
  weightDecay: z
    .number()
    .min(0)
    .default(1e-4)
    .describe("On every parameter, as PyTorch's SGD applies it."),
  schedule: z
    .enum(['steps', 'cosine', 'constant'])
    .default('steps')
    .describe(
      'steps: the rate times `gamma` at each of `milestones`. cosine: down to zero at the end of the epochs or of the time limit.',
    ),
  milestones: z
    .array(z.int().min(1))
    .default([100, 150])
    .describe('Epochs after which the rate drops, for schedule steps.'),
  gamma: z.number().positive().max(1).default(0.1).describe('Factor at each milestone.'),
  warmupEpochs: z
    .number()
    .min(0)
    .default(0)
    .describe('Epochs over which the rate grows from zero, fractions allowed.'),
  headLearningRateFactor: z
    .number()
    .positive()
    .default(1)
    .describe('Factor on the rate of the last dense layer, for a new head on trained layers.'),
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
      'Longest time between two checkpoints, from which a killed or interrupted training goes on; there is one after each epoch besides.',
    ),
  seed: z.int().min(0).default(0).describe('For initial weights, order of images, flips, dropout.'),
});
