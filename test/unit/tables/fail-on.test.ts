import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UsageError } from '../../../src/diagnostics/errors.ts';
import {
  boundMatches,
  changeInUnit,
  isBroken,
  parseFailureBound,
  type BoundOperator,
} from '../../../src/tables/fail-on.ts';

test('the examples of the documentation are read as they are meant', () => {
  assert.deepEqual(parseFailureBound('top1 < -0.5pp'), {
    text: 'top1 < -0.5pp',
    metric: 'top1Fraction',
    operator: '<',
    limit: -0.5,
    unit: 'pp',
  });
  assert.deepEqual(parseFailureBound('latencyMedianMs > +5%'), {
    text: 'latencyMedianMs > +5%',
    metric: 'latencyMedianMs',
    operator: '>',
    limit: 5,
    unit: '%',
  });
  assert.deepEqual(parseFailureBound('sizeBytes>0'), {
    text: 'sizeBytes>0',
    metric: 'sizeBytes',
    operator: '>',
    limit: 0,
    unit: 'absolute',
  });
  assert.equal(parseFailureBound('kappa <= -.02').limit, -0.02);
  assert.equal(
    parseFailureBound('evaluate@model=int8,size=2/metrics/top1Fraction < -1 pp').metric,
    'evaluate@model=int8,size=2/metrics/top1Fraction',
  );
});

test('what is no bound is refused with the grammar', () => {
  for (const text of [
    '',
    'top1',
    'top1 < ',
    '< 5',
    'top1 = 5',
    'top1 == 5',
    'top1 < five',
    'top1 < 5ms',
    'top1 < --5',
    'top1 < 1e3',
    'top1 <> 5',
    'top1 < 1 < 2',
    'top1 < 1.2.3',
  ]) {
    assert.throws(
      () => parseFailureBound(text),
      (error) =>
        error instanceof UsageError &&
        error.code === 'usage/malformed-bound' &&
        error.message.includes(`"${text}"`) &&
        error.hint?.includes('METRIC (<|<=|>|>=)') === true,
      text,
    );
  }
});

const operators: readonly BoundOperator[] = ['<', '<=', '>', '>='];
const spaces = fc.constantFrom('', ' ', '  ');

test('whatever is written by the grammar is read back', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z][A-Za-z0-9@=,/.-]{0,30}$/),
      fc.constantFrom(...operators),
      fc.constantFrom('', '+', '-'),
      fc.integer({ min: 0, max: 100000 }).map((value) => value / 100),
      fc.constantFrom('pp', '%', ''),
      spaces,
      spaces,
      (metric, operator, sign, number, unit, before, after) => {
        const bound = parseFailureBound(
          `${metric}${before}${operator}${after}${sign}${number}${unit}`,
        );
        assert.equal(bound.operator, operator);
        // `0` and `-0` are one limit.
        assert.equal(bound.limit + 0, (sign === '-' ? -number : number) + 0);
        assert.equal(bound.unit, unit === '' ? 'absolute' : unit);
        assert.ok(boundMatches(bound, `stage/output/${bound.metric}`));
      },
    ),
  );
});

test('a bound and its opposite never agree', () => {
  fc.assert(
    fc.property(
      fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
      fc.integer({ min: -1000, max: 1000 }),
      (change, limit) => {
        const bound = (operator: BoundOperator) =>
          isBroken({ text: '', metric: 'm', operator, limit, unit: 'absolute' }, change);
        assert.notEqual(bound('<'), bound('>='));
        assert.notEqual(bound('>'), bound('<='));
      },
    ),
  );
});

test('no change breaks no strict bound of the harmful sign', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), (value) => {
      for (const unit of ['pp', '%', 'absolute'] as const) {
        assert.equal(changeInUnit(value, value, unit), 0);
      }
    }),
  );
});

test('changes are decimal, not binary: exactly half a point lost does not break "< -0.5pp"', () => {
  // 0.575 - 0.58 is -0.0050000000000000044 in binary floating point.
  const change = changeInUnit(0.58, 0.575, 'pp');
  assert.equal(change, -0.5);
  assert.equal(isBroken(parseFailureBound('top1 < -0.5pp'), change), false);
  assert.equal(isBroken(parseFailureBound('top1 <= -0.5pp'), change), true);
});

test('relative changes', () => {
  assert.equal(changeInUnit(10, 10.5, '%'), 5);
  assert.equal(changeInUnit(-10, -10.5, '%'), -5); // a negative SQNR that sinks gets worse
  assert.equal(changeInUnit(0, 3, '%'), Infinity);
  assert.equal(changeInUnit(0, -3, '%'), -Infinity);
  assert.equal(changeInUnit(0, 0, '%'), 0);
});

test('a name matches the end of a path at a slash only', () => {
  const bound = parseFailureBound('top1 < 0');
  assert.ok(boundMatches(bound, 'evaluate/metrics/top1Fraction'));
  assert.ok(!boundMatches(bound, 'evaluate/metrics/notTop1Fraction'));
  assert.ok(!boundMatches(parseFailureBound('Fraction < 0'), 'evaluate/metrics/top1Fraction'));
});
