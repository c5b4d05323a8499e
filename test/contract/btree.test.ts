import { describeBackendContract } from './backend-contract.js'
import { describeStoreContract } from './store-contract.js'

describeBackendContract('btree')
describeStoreContract('btree')
