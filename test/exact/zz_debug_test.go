package exact
import ("testing";"os";"strings";"regionpool.io/provider-regionpool/cluster/local/progress")
func TestDebug(t *testing.T){
 p,err:=Start(t.Context(),t.TempDir(),progress.New(os.Stderr)); if err!=nil {t.Fatal(err)}
 defer p.Close()
 for s:=uint64(7); s<60; s+=8 {
 err:=p.Run(t.Context(),NewWorld(s),func(r Report){ t.Log(r.Batch.Name,r.Batch.Namespace,r.Batch.Families,r.Batch.Template.Spec.Volumes[0].PersistentVolumeClaim,r.Batch.Ordered,r.Batch.Replicas,r.Real,r.Simulated,strings.Join(r.Problems,"\n")) })
 if err!=nil {t.Error(err)}
 }
}
