package integration_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"
)

// rows says which test proves which row of the original's features.
var rows = map[int][]string{
	1:   {"TestAClientListsItsQueues"},
	2:   {"TestAClientListsItsQueues"},
	3:   {"TestQueueingGivesAHandleAtOnce"},
	4:   {"TestTheObjectIsResolvedWhenTheJobRuns"},
	5:   {"TestAWorkerLeavesWhatItDoesNotKnow"},
	6:   {"TestInputsAndResultsKeepTheirTypes"},
	7:   {"TestACallIsInertUntilItIsQueued"},
	8:   {"TestAJobGoesToTheQueueAndTheQuotaThatItNames", "TestSubtle09"},
	9:   {"TestAJobForLaterTakesItsPlaceWhenItsTimeComes"},
	10:  {"TestAJobForLaterTakesItsPlaceWhenItsTimeComes", "TestSubtle10"},
	11:  {"TestAJobThatCannotStartInTimeFails", "TestSubtle10"},
	12:  {"TestATransactionIsSeenByItselfAlone", "TestSubtle02"},
	13:  {"TestATransactionIsSeenByItselfAlone", "TestSubtle02"},
	14:  {"TestACommitWithoutAServerIsAnError"},
	15:  {"TestAJobQueuesOnlyWhatItSucceedsWith"},
	20:  {"TestAJobGoesThroughItsStates"},
	21:  {"TestAJobGoesThroughItsStates"},
	22:  {"TestAJobGoesThroughItsStates", "TestSubtle01"},
	23:  {"TestAFailureIsAValueWithItsCauses", "TestSubtle03"},
	25:  {"TestAFailureIsAValueWithItsCauses"},
	26:  {"TestAJobThatContinuesHasTheOthersResult"},
	28:  {"TestTimesAreKept"},
	29:  {"TestNotesAreSeenAtOnceAndSurviveARetry"},
	30:  {"TestNotesAreSeenAtOnceAndSurviveARetry"},
	32:  {"TestAFunctionKnowsItsJob"},
	33:  {"TestAJobIsFoundByTheIDItHadBeforeTheCommit"},
	34:  {"TestAJobIsFoundByTheIDItHadBeforeTheCommit"},
	35:  {"TestCallbacksAreJobsThatGetTheOutcome"},
	36:  {"TestCallbacksAreJobsThatGetTheOutcome"},
	37:  {"TestCallbacksAreJobsThatGetTheOutcome", "TestSubtle06"},
	38:  {"TestAFailingCallbackIsAloneWithItsFailure", "TestSubtle01"},
	39:  {"TestAFailingCallbackIsAloneWithItsFailure"},
	40:  {"TestCallbacksCanBeAddedAtAnyTime", "TestSubtle06"},
	41:  {"TestCallbacksCanBeAddedAtAnyTime"},
	42:  {"TestCallbacksGoOnAfterACrash"},
	43:  {"TestHandlersHearOfAllJobsUntilTheyAreStopped", "TestADurableHandlerMissesNothing", "TestSubtle08"},
	44:  {"TestHandlersHearOfAllJobsUntilTheyAreStopped"},
	47:  {"TestASerialBatchGoesOnAfterAFailure", "TestSubtle05"},
	48:  {"TestAParallelBatchRunsAtOnceOnAnyWorkers", "TestSubtle05"},
	49:  {"TestASerialBatchGoesOnAfterAFailure", "TestAParallelBatchRunsAtOnceOnAnyWorkers"},
	51:  {"TestABatchHoldsTheQuotaAndItsMembersHoldNone"},
	53:  {"TestABatchKeepsItsOrderOverACrash"},
	54:  {"TestHandlersHearOfABatchAlone", "TestSubtle05"},
	57:  {"TestJobsRunInOrderOverTheDeathOfAWorker", "TestARetryKeepsItsPlaceUnlessItStepsAside"},
	58:  {"TestJobsRunInOrderOverTheDeathOfAWorker"},
	59:  {"TestAQuotaIsALimitOverAllWorkers"},
	60:  {"TestAQuotaThatCannotBeHeldIsAnErrorWhenQueueing"},
	61:  {"TestAQuotaThatCannotBeHeldIsAnErrorWhenQueueing", "TestSubtle09"},
	62:  {"TestAFullQuotaBlocksNoOther"},
	63:  {"TestTheNextJobFindsTheOutcomeOfTheOneBefore", "TestSubtle01"},
	65:  {"TestAWorkerRunsAsManyJobsAsItHasSlots", "TestALaneCanHaveAllSlotsOfAWorker"},
	68:  {"TestAQueueIsListedInOrderAndJobsAreTakenOut", "TestCancelAndStartCannotBothWin"},
	69:  {"TestAQueueIsListedInOrderAndJobsAreTakenOut", "TestACancelledBatchStopsItsMembers", "TestSubtle10"},
	73:  {"TestWorkersAreListedWhileTheyLive"},
	75:  {"TestWorkersAreListedWhileTheyLive"},
	77:  {"TestAnyWorkerTakesOverFromADeadOne"},
	78:  {"TestAnyWorkerTakesOverFromADeadOne"},
	79:  {"TestTheTenthInterruptionIsTheLast", "TestSubtle04"},
	80:  {"TestAStoppedWorkerLosesNothing", "TestSubtle04"},
	81:  {"TestALateWorkerIsFenced"},
	82:  {"TestALateWorkerIsFenced", "TestALongJobKeepsItsLease"},
	83:  {"TestOnlyWhatIsToldToIsTriedAgain", "TestSubtle03"},
	84:  {"TestAResultIsStoredAlthoughTheServerWasAway"},
	85:  {"TestOnlyWhatIsToldToIsTriedAgain", "TestSubtle03"},
	86:  {"TestOnlyWhatIsToldToIsTriedAgain", "TestARetryKeepsItsPlaceUnlessItStepsAside"},
	87:  {"TestOnlyWhatIsToldToIsTriedAgain"},
	89:  {"TestOnlyWhatIsToldToIsTriedAgain", "TestMembersAndCallbacksHaveTheirOwnPolicy"},
	90:  {"TestAResultIsStoredAlthoughTheServerWasAway"},
	92:  {"TestMiddlewareIsAroundEveryAttempt"},
	93:  {"TestAJobRunsAsWhoeverQueuedIt", "TestSubtle07"},
	94:  {"TestNobodyHasNoRights"},
	95:  {"TestAJobRunsAsWhoeverQueuedIt"},
	96:  {"TestAForgedUserIsPutAside"},
	98:  {"TestTwoSitesShareAServer"},
	100: {"TestTheLogNamesJobsAndNeverTheirInputs"},
	101: {"TestAnOperatorSeesWhatGoesOn", "TestWorkersAreListedWhileTheyLive"},
	102: {"TestAnOperatorSeesWhatGoesOn"},
	105: {"TestWaitGivesTheValueOrTheFailure", "TestSubtle01"},
	106: {"TestATestCanWaitForEachStep"},
	107: {"TestATestCanWaitForEachStep"},
	111: {"TestEveryEndIsKept"},
}

// required are the rows that the original's users cannot do without.
var required = []int{
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	20, 21, 22, 23, 25, 26, 28, 29, 30, 32, 33, 34,
	35, 36, 37, 38, 39, 40, 41, 42, 43, 44,
	47, 48, 49, 51, 53, 54,
	57, 58, 59, 60, 61, 62, 63, 65, 68, 69,
	73, 75, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 90, 92,
	93, 94, 95, 96, 98,
	100, 101, 102, 105, 106, 107, 111,
}

func TestEveryRowHasATest(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("semantics_*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the files of this package: %v, %v", files, err)
	}
	there := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				there[f.Name.Name] = true
			}
		}
	}
	for _, row := range required {
		if len(rows[row]) == 0 {
			t.Errorf("row %d has no test", row)
		}
	}
	for row, tests := range rows {
		if !slices.Contains(required, row) {
			t.Errorf("row %d is not required", row)
		}
		for _, name := range tests {
			if !there[name] {
				t.Errorf("row %d: there is no test %s", row, name)
			}
		}
	}
	for _, name := range []string{
		"TestSubtle01", "TestSubtle02", "TestSubtle03", "TestSubtle04", "TestSubtle05",
		"TestSubtle06", "TestSubtle07", "TestSubtle08", "TestSubtle09", "TestSubtle10",
	} {
		if !there[name] {
			t.Errorf("there is no test %s", name)
		}
	}
}
