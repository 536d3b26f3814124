package strictjson

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

type base struct {
	Inner string
}

// zoo has a field of each kind that a shape tells apart.
type zoo struct {
	Named    string `json:"named"`
	Untagged string
	Omitted  *string `json:"omitted,omitempty"`
	NoName   string  `json:",omitempty"`
	Hidden   string  `json:"-"`
	private  string
	Pointer  *base           `json:"pointer"`
	List     []base          `json:"list"`
	Lists    [][]base        `json:"lists"`
	Time     time.Time       `json:"time"` // reads itself
	Raw      json.RawMessage `json:"raw"`
	Map      map[string]base `json:"map"`
}

func TestShapeOfKnowsWhatTheTypeReads(t *testing.T) {
	t.Parallel()
	s := ShapeOf[zoo]()
	require.Empty(t, zoo{}.private)
	require.Equal(t, []string{"NoName", "Untagged", "list", "lists", "map", "named", "omitted", "pointer", "raw", "time"}, s.names())
	require.Equal(t, []string{"Inner"}, s.members["pointer"].names())
	require.Equal(t, []string{"Inner"}, s.members["list"].element.names())
	require.Equal(t, []string{"Inner"}, s.members["lists"].element.element.names())
	for _, name := range []string{"named", "time", "raw", "map"} {
		require.Nil(t, s.members[name], "%s may hold anything", name)
	}
	require.Nil(t, ShapeOf[string]())
	require.Equal(t, s.names(), ShapeOf[*zoo]().names())
	require.Equal(t, s.names(), ShapeOf[[]zoo]().element.names())
}

// A shape is shared between requests: to derive another one must not change it.
func TestShapesAreDerivedWithoutChangingThem(t *testing.T) {
	t.Parallel()
	open := ShapeOf[zoo]()
	closed, joined := open.Closed(), open.With("raw", Members("a"))
	unknown := []byte(`{"pointer": {"new": 1}, "raw": {"A": 1}, "new": 1}`)
	require.Empty(t, open.Check(unknown))
	require.Equal(t, []string{"/pointer/new", "/new"}, pointers(closed.Check(unknown)), "closed at every depth, but for what may hold anything")
	require.Equal(t, []string{"/raw/A"}, pointers(joined.Check(unknown)))
	require.Equal(t, []string{"/raw/A", "/new"}, pointers(joined.With("pointer", nil).closedHere().Check(unknown)))
	require.Nil(t, (*Shape)(nil).Closed())
	require.Empty(t, new(Shape).Closed().Check(unknown), "a shape that knows nothing cannot be closed")
	require.Equal(t, []string{"/0/new"}, pointers(ShapeOf[[]base]().Closed().Check([]byte(`[{"new": 1}]`))))
	require.True(t, joined.Closed().With("named", nil).closed, "With keeps a shape closed")
}

// closedHere closes the object itself and not what is below it.
func (s *Shape) closedHere() *Shape {
	out := *s
	out.closed = true
	return &out
}

func pointers(wrong []problem.FieldError) (out []string) {
	for _, w := range wrong {
		out = append(out, w.Pointer)
	}
	return out
}

// Names that encoding/json takes for one have one folded form, and others have another. So no member passes Check under a name
// that the decoder would read as a known one.
func TestFoldIsThatOfTheDecoder(t *testing.T) {
	t.Parallel()
	letters := rapid.SampledFrom([]rune("kKsSaAöÖ\u212a\u017fßẞ_-0"))
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOfN(letters, 1, 4).Draw(t, "name"))
		var v struct {
			SKU string `json:"sk"`
		}
		encoded, err := json.Marshal(map[string]string{name: "read"})
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(encoded, &v))
		require.Equal(t, v.SKU == "read", fold(name) == fold("sk"), name)
	})
	require.Equal(t, fold("Kelvin"), fold("\u212aelvin"))
	require.NotEqual(t, fold("ss"), fold("ß"))
}

// The decoder's own words for a folded name are the most usual ones; each other spelling of a known name is refused.
func TestAKnownNameInOtherLettersIsRefused(t *testing.T) {
	t.Parallel()
	s := Members("sku", "order_increment_id")
	rapid.Check(t, func(t *rapid.T) {
		known := rapid.SampledFrom(s.names()).Draw(t, "known")
		given := strings.Map(func(r rune) rune {
			if rapid.Bool().Draw(t, "upper") {
				return []rune(strings.ToUpper(string(r)))[0]
			}
			return r
		}, known)
		wrong := s.Check([]byte(`{"` + given + `": 1}`))
		require.Equal(t, given == known, len(wrong) == 0, given)
		require.False(t, slices.ContainsFunc(wrong, func(w problem.FieldError) bool { return w.Code != problem.CodeCase }))
	})
}
