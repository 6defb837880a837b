package choice
import ("testing";"regionpool.io/provider-regionpool/internal/simulation")
func TestStat(t *testing.T){
 s,_:=simulation.New(); bad:=0
 for seed:=uint64(100000);seed<140000;seed++{ 
  if c := Generate(seed); seed > 105000 && c.Spread == 0 { continue }
  v,err:=Compare(t.Context(),seed,s); if err!=nil{t.Fatal(seed,err)}
  if v.Problem!=""{bad++; if bad<4{t.Logf("seed %d: %s\n%s",seed,v.Problem,v.Case)}}
 }
 t.Log(bad)
}
