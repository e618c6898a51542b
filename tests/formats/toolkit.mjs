// Writes the commands of a GitHub report again with the writer of GitHub's own toolkit, which must give the same
// bytes: toolkit.mjs COMMAND.JS REPORT.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const { issueCommand } = await import(pathToFileURL(process.argv[2]).href)
const report = readFileSync(process.argv[3], 'utf8')
let written = ''
process.stdout.write = (text) => (written += text)
for (const line of report.trimEnd().split('\n')) {
  const [, name, head, data] = /^::(\w+) (.*?)::(.*)$/.exec(line)
  const properties = {}
  for (const pair of head.split(',')) {
    const at = pair.indexOf('=')
    properties[pair.slice(0, at)] = decode(pair.slice(at + 1))
  }
  issueCommand(name, properties, decode(data))
}
if (written !== report) {
  const lines = written.split('\n')
  console.error('differs: ' + report.split('\n').find((line, i) => line !== lines[i]))
  process.exit(1)
}

function decode(text) {
  return text.replace(/%(0D|0A|3A|2C|25)/g, (_, code) => String.fromCharCode(parseInt(code, 16)))
}
