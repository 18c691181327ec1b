export type FindingKind =
  'unreadable' | 'duplicate' | 'label-conflict' | 'leak' | 'near-duplicate' | 'small-class';

/** Something about the images a user should know. */
export interface Finding {
  readonly kind: FindingKind;
  /** What was found, with the images' ids. */
  readonly message: string;
  /** What followed from it. */
  readonly action: 'error' | 'exclude' | 'warn';
}
