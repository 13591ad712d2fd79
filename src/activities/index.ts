/** All activities, built from what they need. Their names are stored in histories: renaming one breaks running workflows. */
import { cancelActivities } from './cancel';
import { caseActivities } from './cases';
import { compareActivities } from './compare';
import { courierActivities } from './courier';
import type { Dependencies } from './dependencies';
import { openNotices, type Notices } from '../notices';
import { endActivities } from './end';
import { giveBackActivities } from './give-back';
import { openActivities } from './open';
import { reconcileActivities } from './reconcile';
import { retryActivities } from './retry';
import { settleActivities } from './settle';
import { tellAfterEach } from './tell';
import { watchActivities } from './watch';

export type Activities = ReturnType<typeof allActivities>;

/** Makes the activities a worker runs. */
export function createActivities(deps: Dependencies): Activities {
  const notices = openNotices(deps.db, deps.log);
  return tellAfterEach(allActivities(deps, notices), notices);
}

function allActivities(deps: Dependencies, notices: Notices) {
  return {
    ...openActivities(deps),
    ...retryActivities(deps),
    ...settleActivities(deps),
    ...endActivities(deps),
    ...giveBackActivities(deps),
    ...reconcileActivities(deps),
    ...cancelActivities(deps, notices),
    ...caseActivities(deps),
    ...compareActivities(deps),
    ...watchActivities(deps),
    ...courierActivities(deps),
  };
}
