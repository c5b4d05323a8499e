import type { BackendContext, Finding } from '../../../backend/backend.js'
import { isCorruption } from '../../../errors.js'
import { manifestName } from '../manifest/format.js'
import { Manifest } from '../manifest/manifest.js'

/**
 * Reads CURRENT and the manifest as the next opening will; damage is a finding. Nothing is written to
 * them meanwhile, as that would look like damage now and then.
 */
export function checkManifest(context: BackendContext, manifest: Manifest): Promise<Finding[]> {
  return manifest.whilePaused(() => checkPaused(context))
}

async function checkPaused(context: BackendContext): Promise<Finding[]> {
  try {
    const copy = await Manifest.open({ ...context, readOnly: true })
    await copy.close(false)
    return []
  } catch (error) {
    if (!isCorruption(error)) throw error
    const { path = `${context.directory}/${manifestName}`, offset } = error.facts
    const message = `${error.message}. The open store goes on, and the next opening fails`
    return [finding('error', message, path, offset)]
  }
}

/** What the opening found of the manifest and could do without. */
export function manifestFindings({ recovery }: Manifest): Finding[] {
  const findings = recovery?.findings ?? []
  return findings.map(({ kind, path, offset }) =>
    finding('warning', `${path} at ${offset}: ${kind}; nothing of it was needed`, path, offset)
  )
}

function finding(
  severity: Finding['severity'],
  message: string,
  path: string,
  offset: number | undefined
): Finding {
  const where = offset === undefined ? {} : { offset }
  return { severity, kind: 'damaged-manifest', message, path, ...where }
}
