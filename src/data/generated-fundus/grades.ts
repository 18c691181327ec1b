import type { Random } from '../../numeric/random.ts';
import {
  paintBoatHaemorrhages,
  paintCottonWool,
  paintExudates,
  paintFibrousTissue,
  paintHaemorrhages,
  paintMicroaneurysms,
  paintNewVessels,
  paintVitreousHaemorrhage,
  type LesionContext,
} from './lesions.ts';

type CountRange = readonly [least: number, most: number];

/** How much of each lesion a photograph of one grade shows. */
interface GradeSpec {
  readonly name: string;
  readonly microaneurysms?: CountRange;
  readonly haemorrhages?: CountRange;
  readonly exudateGroups?: CountRange;
  readonly cottonWoolSpots?: CountRange;
  readonly newVesselFans?: CountRange;
  readonly boatHaemorrhages?: CountRange;
  readonly fibrousBands?: CountRange;
  readonly vitreousClouds?: CountRange;
  /** Calibre changes of the veins, 0 to 1. */
  readonly venousBeading?: number;
}

/**
 * The seven grades of Castillo Benitez et al. (Data in Brief, 2021), each told from its neighbours by
 * a kind of lesion and by density. Lesions are more numerous and larger than in life, so that they
 * survive a reduction to 96 pixels.
 */
export const GRADES: readonly GradeSpec[] = [
  { name: 'no-dr' },
  { name: 'mild-npdr', microaneurysms: [12, 20] },
  { name: 'moderate-npdr', microaneurysms: [8, 14], haemorrhages: [1, 4], exudateGroups: [3, 5] },
  { name: 'severe-npdr', microaneurysms: [8, 14], haemorrhages: [26, 38], venousBeading: 0.5 },
  {
    name: 'very-severe-npdr',
    haemorrhages: [24, 36],
    cottonWoolSpots: [9, 13],
    venousBeading: 1,
  },
  {
    name: 'pdr',
    microaneurysms: [4, 8],
    haemorrhages: [2, 5],
    newVesselFans: [4, 6],
    boatHaemorrhages: [1, 1],
  },
  {
    name: 'advanced-pdr',
    haemorrhages: [2, 6],
    newVesselFans: [2, 3],
    fibrousBands: [3, 5],
    vitreousClouds: [2, 4],
  },
];

/** Names in label order. */
export const GRADE_NAMES: readonly string[] = GRADES.map((grade) => grade.name);

export function paintLesions(context: LesionContext, grade: GradeSpec): void {
  const paint = (
    painter: (context: LesionContext, count: number) => void,
    range: CountRange | undefined,
  ): void => {
    if (range !== undefined) painter(context, chooseCount(range, context.random));
  };
  paint(paintMicroaneurysms, grade.microaneurysms);
  paint(paintExudates, grade.exudateGroups);
  paint(paintHaemorrhages, grade.haemorrhages);
  paint(paintCottonWool, grade.cottonWoolSpots);
  paint(paintFibrousTissue, grade.fibrousBands);
  paint(paintNewVessels, grade.newVesselFans);
  paint(paintBoatHaemorrhages, grade.boatHaemorrhages);
  paint(paintVitreousHaemorrhage, grade.vitreousClouds);
}

function chooseCount([least, most]: CountRange, random: Random): number {
  return least + random.integer(most - least + 1);
}
