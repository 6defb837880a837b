package tke

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestShortages(t *testing.T) {
	cases := map[string]struct {
		reason  string
		message string
		details []wireDetail
		want    []Shortage
	}{
		"Details": {
			reason: "What the cloud says in fields is not looked for in texts.",
			details: []wireDetail{
				{Code: "ResourceInsufficient.SpecifiedInstanceType", Zone: "ap-guangzhou-3", InstanceType: "S5.MEDIUM4", Message: "sold out"},
				{Code: "LimitExceeded.SpotQuota", Zone: "ap-guangzhou-6", InstanceType: "S5.MEDIUM4", Message: "no quota"},
			},
			want: []Shortage{
				{InstanceType: "S5.MEDIUM4", Zone: "ap-guangzhou-3", Reason: ReasonOutOfStock, Code: "ResourceInsufficient.SpecifiedInstanceType", Message: "sold out"},
				{InstanceType: "S5.MEDIUM4", Zone: "ap-guangzhou-6", Reason: ReasonQuota, Code: "LimitExceeded.SpotQuota", Message: "no quota"},
			},
		},
		"Message": {
			reason:  "Where there are none, sentences are read.",
			message: "Insufficient resources of S5.MEDIUM4 in ap-guangzhou-3. Insufficient resources of GN10Xp.2XLARGE40 in ap-shanghai-fsi-1.",
			want: []Shortage{
				{InstanceType: "S5.MEDIUM4", Zone: "ap-guangzhou-3", Reason: ReasonOutOfStock, Message: "Insufficient resources of S5.MEDIUM4 in ap-guangzhou-3"},
				{InstanceType: "GN10Xp.2XLARGE40", Zone: "ap-shanghai-fsi-1", Reason: ReasonOutOfStock, Message: "Insufficient resources of GN10Xp.2XLARGE40 in ap-shanghai-fsi-1"},
			},
		},
		"Code": {
			reason:  "A code in the text decides.",
			message: "InvalidParameterValue.InsufficientOffering: the instance type is not sold in ap-guangzhou-3.",
			want: []Shortage{{
				Zone: "ap-guangzhou-3", Reason: ReasonOutOfStock, Code: "InvalidParameterValue.InsufficientOffering",
				Message: "InvalidParameterValue.InsufficientOffering: the instance type is not sold in ap-guangzhou-3",
			}},
		},
		"Quota": {
			reason:  "A quota is no lack of stock.",
			message: "LimitExceeded.UserSpotQuota: the quota of S5.MEDIUM4 is used up",
			want: []Shortage{{
				InstanceType: "S5.MEDIUM4", Reason: ReasonQuota, Code: "LimitExceeded.UserSpotQuota", Message: "LimitExceeded.UserSpotQuota: the quota of S5.MEDIUM4 is used up",
			}},
		},
		"Twice": {
			reason:  "The same shortage is told once.",
			message: "Insufficient resources of S5.MEDIUM4 in ap-guangzhou-3; Insufficient resources of S5.MEDIUM4 in ap-guangzhou-3",
			want:    []Shortage{{InstanceType: "S5.MEDIUM4", Zone: "ap-guangzhou-3", Reason: ReasonOutOfStock, Message: "Insufficient resources of S5.MEDIUM4 in ap-guangzhou-3"}},
		},
		"Other": {
			reason:  "What cannot be read is told as it is.",
			message: "something went wrong",
			want:    []Shortage{{Reason: ReasonFailed, Message: "something went wrong"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, shortages(tc.message, tc.details)); diff != "" {
				t.Errorf("\nReason: %s\nshortages(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
