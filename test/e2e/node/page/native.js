// The browser's own EventSource.
import { listen } from '../follow.js'

export default listen(EventSource)
