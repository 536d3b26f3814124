package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

//go:embed assets
var files embed.FS

// asset is a file as it is sent.
type asset struct {
	kind    string // its Content-Type
	tag     string // its ETag
	content []byte
	zipped  []byte // nil when that is no smaller
}

// built are all assets.
type built struct {
	version string // of all of them together; it stands in their paths, so a browser may keep them for ever
	page    asset
	assets  map[string]asset // by the path below assets
}

// build reads and zips the assets once in the life of a process, at the first request.
var build = sync.OnceValue(func() built {
	out := built{assets: map[string]asset{}}
	all := sha256.New()
	var modules []string
	_ = fs.WalkDir(files, "assets", func(file string, d fs.DirEntry, _ error) error { // an embedded file can be read
		if d.IsDir() {
			return nil
		}
		content, _ := files.ReadFile(file)
		name := strings.TrimPrefix(file, "assets/")
		_, _ = fmt.Fprintf(all, "%s %d\n%s", name, len(content), content)
		out.assets[name] = newAsset(name, content)
		if path.Ext(name) == ".js" && name != "lib/uplot.js" {
			modules = append(modules, name)
		}
		return nil
	})
	out.version = base64.RawURLEncoding.EncodeToString(all.Sum(nil)[:9])
	out.page = newAsset("index.html", pageOf(out.assets["index.html"].content, out.version, modules))
	delete(out.assets, "index.html")
	return out
})

// pageOf is the page with the paths of this version. It names all modules, so that the browser fetches them at once, and not one after
// the other as they name each other.
func pageOf(template []byte, version string, modules []string) []byte {
	slices.Sort(modules)
	var links strings.Builder
	for _, name := range modules {
		_, _ = fmt.Fprintf(&links, "<link rel=\"modulepreload\" href=\"/console/assets/%s/%s\">\n", version, name)
	}
	page := bytes.ReplaceAll(template, []byte("{{modules}}\n"), []byte(links.String()))
	return bytes.ReplaceAll(page, []byte("{{version}}"), []byte(version))
}

func newAsset(name string, content []byte) asset {
	sum := sha256.Sum256(content)
	a := asset{kind: mime.TypeByExtension(path.Ext(name)), tag: `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, content: content}
	switch path.Ext(name) { // a machine's own table of types may say something else
	case ".js":
		a.kind = "text/javascript; charset=utf-8"
	case ".css":
		a.kind = "text/css; charset=utf-8"
	case ".svg":
		a.kind = "image/svg+xml"
	}
	var zipped bytes.Buffer
	z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, _ = z.Write(content) // into memory, which does not fail
	_ = z.Close()
	if zipped.Len() < len(content) {
		a.zipped = zipped.Bytes()
	}
	return a
}

// serve answers a script or a style, and at any other path the page. The page is asked for again each time, as it names the version of
// all else. While a new release comes up, a page of the one process may ask the other for its scripts: it gets what there is, and keeps
// it no longer than that.
func serve(w http.ResponseWriter, r *http.Request) {
	b := build()
	file, isAsset := strings.CutPrefix(mux.Vars(r)["path"], "assets/")
	if !isAsset {
		b.page.serve(w, r, "no-cache")
		return
	}
	version, name, _ := strings.Cut(file, "/")
	a, known := b.assets[name]
	switch {
	case !known:
		problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "not_found", Detail: "the console has no such file; load its page again"})
	case version == b.version:
		a.serve(w, r, "public, max-age=31536000, immutable")
	default:
		a.serve(w, r, "no-cache")
	}
}

func (a asset) serve(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	h.Set("Cache-Control", cache)
	h.Set("Etag", a.tag)
	h.Set("Vary", "Accept-Encoding")
	if slices.Contains(strings.Split(r.Header.Get("If-None-Match"), ", "), a.tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	content := a.content
	if a.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		content = a.zipped
	}
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content)
}
