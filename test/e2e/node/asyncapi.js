// Reads an AsyncAPI document with the parser of the AsyncAPI project. Prints
// how many messages it has, or fails with what is wrong.
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], 'utf8'))
const errors = diagnostics.filter((d) => d.severity === 0)
if (!document || errors.length > 0) {
  console.error(JSON.stringify(errors, null, 2))
  process.exit(1)
}
console.log(`${document.components().messages().all().length} messages`)
process.exit(0)
