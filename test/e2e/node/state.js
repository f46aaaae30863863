// Reads messages, one a line, and checks each against the schema of the State
// Protocol that the Durable Streams project publishes. Prints how many are
// right, or fails with what is wrong.
import { readFileSync } from 'node:fs'
import Ajv from 'ajv'
import addFormats from 'ajv-formats'

const schema = 'node_modules/@durable-streams/state/state-protocol.schema.json'
const ajv = new Ajv({ allErrors: true, strict: false })
addFormats(ajv)
const check = ajv.compile(JSON.parse(readFileSync(schema, 'utf8')))
const lines = readFileSync(process.argv[2], 'utf8').trim().split('\n')
for (const line of lines) {
  if (!check(JSON.parse(line))) {
    console.error(line, JSON.stringify(check.errors, null, 2))
    process.exit(1)
  }
}
console.log(`${lines.length} messages`)
