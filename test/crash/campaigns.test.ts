import { expect, it } from 'vitest'
import { testedBackend } from '../helpers/tested-backend.js'
import { promisedBy, promisedStates } from './campaigns.js'

it('power cuts are tried in as many states as promised', () => {
  expect(promisedBy(testedBackend)).toBeGreaterThanOrEqual(promisedStates)
})
