// What the console's pages compute, without a browser.
import assert from 'node:assert/strict'
import test from 'node:test'

import { below, fieldRows, folded, middle, parse, rows, textRows } from '../../proxy/console/pages/sides.js'

const shown = all => all.map(row => [row.state, row.left, row.right, row.path])

test('two documents lie side by side', () => {
  const left = parse('{"total":14.50,"items":[{"sku":"tea"}],"gone":[1]}')
  const right = parse('{"total":14.5,"items":[{"sku":"tea"},{"sku":"cup"}]}')
  assert.deepEqual(shown(rows(left, right)), [
    ['same', '{', '{', '$'],
    ['changed', '"total": 14.50,', '"total": 14.5,', '$.total'],
    ['same', '"items": [', '"items": [', '$.items'],
    ['same', '{', '{', '$.items[*]'],
    ['same', '"sku": "tea"', '"sku": "tea"', '$.items[*].sku'],
    ['same', '},', '},', '$.items[*]'],
    ['extra', null, '{', '$.items[*]'],
    ['extra', null, '"sku": "cup"', '$.items[*].sku'],
    ['extra', null, '}', '$.items[*]'],
    ['same', '],', '],', '$.items'],
    ['missing', '"gone": [', null, '$.gone'],
    ['missing', '1', null, '$.gone[*]'],
    ['missing', ']', null, '$.gone'],
    ['same', '}', '}', '$'],
  ])
})

test('numbers stay as they were written', () => {
  const big = parse('{"id":12345678901234567890}')
  assert.equal(rows(big, big)[1].left, '"id": 12345678901234567890')
})

test('what is no document is no tree', () => {
  for (const text of ['', '{', '[1,]', '{"a" 1}', 'true x', '"\u0001', '['.repeat(500)]) {
    assert.equal(parse(text), null, text.slice(0, 20))
  }
})

test('names are written as findings write them', () => {
  assert.equal(below('$', 'a_b-c'), '$.a_b-c')
  assert.equal(below('$', 'a b'), "$['a b']")
  assert.equal(below('$.x', "it's\n"), "$.x['it\\'s\\u000a']")
})

test('texts are paired by their lines', () => {
  const all = textRows('a\nb\nc\nd', 'a\nx\nc\nd\ne')
  assert.deepEqual(all.map(row => row.state), ['same', 'changed', 'same', 'same', 'extra'])
  assert.deepEqual([all[1].left, all[1].right], ['b', 'x'])
})

test('long texts take no long time', () => {
  const long = Array.from({ length: 5000 }, (_, nth) => `line ${nth}`).join('\n')
  assert.ok(textRows(long, `${long}x`).length <= 2000)
})

test('fields are paired by name', () => {
  const of = (name, value) => ({ name, value })
  const all = fieldRows([of('A', '1'), of('b', '2'), of('b', '3')], [of('a', '1'), of('c', '4')])
  assert.deepEqual(shown(all), [
    ['same', 'a: 1', 'a: 1', 'header.a'],
    ['missing', 'b: 2, 3', null, 'header.b'],
    ['extra', null, 'c: 4', 'header.c'],
  ])
})

test('only what differs within a line is marked', () => {
  assert.deepEqual(middle('"total": 14.49,', '"total": 14.5,'), [12, 14, 13])
  assert.deepEqual(middle('abc', 'abc'), [3, 3, 3])
})

test('long runs of equal lines are folded', () => {
  const row = state => ({ state })
  const all = [...Array(10).fill(row('same')), row('changed'), ...Array(5).fill(row('same'))]
  assert.deepEqual(folded(all).map(one => one.fold ?? one.state),
    [7, 'same', 'same', 'same', 'changed', 'same', 'same', 'same', 'same', 'same'])
})
