import { campaigns } from './campaigns.js'
import { describeCampaigns } from './run-campaigns.js'

describeCampaigns(campaigns.writes)
