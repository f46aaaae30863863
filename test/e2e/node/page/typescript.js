// Our client: it resumes, tells what fails and notices silence by itself.
import { follow } from '../../../../clients/typescript/src/index.ts'

export const watches = true

export default (url, last, message) => {
  const each = ({ id, data }) => message('message', id, data)
  return follow({
    url,
    user: '',
    retry: 200,
    heartbeat: 1000,
    parse: (data) => ({ id: JSON.parse(data).cursor, data }),
    onEvent: each,
    onReset: async (reset) => message('cdc.reset', '', JSON.stringify(reset)),
    onError: (error) => message('#error', '', error.kind),
  })
}
