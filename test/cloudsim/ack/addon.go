package ack

import (
	"maps"
	"net/http"
	"slices"
)

// An addon of a cluster.
type addon struct {
	name, version, config string
	state                 string // active, updating, deleting
}

func (a *addon) view() map[string]any {
	version := a.version
	if version == "" {
		version = "v1.0.0"
	}
	return map[string]any{"name": a.name, "version": version, "config": a.config, "state": a.state}
}

func (s *Server) installAddons(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	var q []addonSpec
	if err := decode(c, &q); err != nil {
		return 0, nil, err
	}
	if k.state != running {
		return 0, nil, clusterState(k.state)
	}
	for _, a := range q {
		if a.Name == "" {
			return 0, nil, invalid("Name", "the name of an add-on is required")
		}
		if k.addons[a.Name] != nil {
			return 0, nil, fail(http.StatusBadRequest, "AddonAlreadyInstalled", "addon %s is already installed", a.Name)
		}
	}
	t := s.begin(c, "addon_install", k.id, "cluster", k.id)
	s.enter(t, "InstallAddons")
	for _, a := range q {
		k.addons[a.Name] = &addon{name: a.Name, version: a.Version, config: a.Config, state: "updating"}
	}
	s.later(t, s.Latency("addon", s.Config.Latencies.Addon), func() {
		for _, a := range q {
			if t.outcome == effective {
				k.addons[a.Name].state = "active"
			} else {
				delete(k.addons, a.Name)
			}
		}
		s.syncVirtual(k)
		s.finish(t, nil)
	})
	return http.StatusAccepted, map[string]any{"cluster_id": k.id, "request_id": c.id, "task_id": t.id}, nil
}

func (s *Server) uninstallAddons(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	var q []struct {
		Name                  string `json:"name"`
		CleanupCloudResources bool   `json:"cleanup_cloud_resources"`
	}
	if err := decode(c, &q); err != nil {
		return 0, nil, err
	}
	if k.state != running {
		return 0, nil, clusterState(k.state)
	}
	for _, a := range q {
		if k.addons[a.Name] == nil {
			return 0, nil, fail(http.StatusNotFound, "AddonNotFound", "addon %s is not installed", a.Name)
		}
	}
	t := s.begin(c, "addon_uninstall", k.id, "cluster", k.id)
	s.enter(t, "UninstallAddons")
	for _, a := range q {
		k.addons[a.Name].state = "deleting"
	}
	s.later(t, s.Latency("addon", s.Config.Latencies.Addon), func() {
		for _, a := range q {
			if t.outcome == effective {
				delete(k.addons, a.Name)
			} else if x := k.addons[a.Name]; x != nil {
				x.state = "active"
			}
		}
		s.syncVirtual(k)
		s.finish(t, nil)
	})
	return http.StatusAccepted, map[string]any{"cluster_id": k.id, "request_id": c.id, "task_id": t.id}, nil
}

func (s *Server) listAddons(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	out := []any{}
	for _, name := range slices.Sorted(maps.Keys(k.addons)) {
		v := k.addons[name].view()
		delete(v, "config")
		out = append(out, v)
	}
	return http.StatusOK, map[string]any{"addons": out}, nil
}

func (s *Server) getAddon(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	a := k.addons[c.vars["addon"]]
	if a == nil {
		return 0, nil, fail(http.StatusNotFound, "AddonNotFound", "addon %s is not installed", c.vars["addon"])
	}
	return http.StatusOK, a.view(), nil
}

// createAutoscalingConfig is stored and has no other effect: the vendor's scaler
// is not simulated beyond its minimum.
func (s *Server) createAutoscalingConfig(c *call) (int, any, error) {
	k, err := s.cluster(c)
	if err != nil {
		return 0, nil, err
	}
	var q map[string]any
	if err := decode(c, &q); err != nil {
		return 0, nil, err
	}
	if t, ok := q["scaler_type"].(string); ok {
		if err := oneOf("ScalerType", t, "cluster-autoscaler", "goatscaler"); err != nil {
			return 0, nil, err
		}
	}
	k.autoscaling = q
	t := s.begin(c, "autoscaling_config", k.id, "cluster", k.id)
	s.later(t, s.Latency("addon", s.Config.Latencies.Addon), func() { s.finish(t, nil) })
	return http.StatusOK, map[string]any{"cluster_id": k.id, "request_id": c.id, "task_id": t.id}, nil
}
