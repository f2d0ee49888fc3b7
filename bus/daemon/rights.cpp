#include "bus/daemon/rights.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>

namespace millrace::daemon {

Status Writers::add(const std::string& name) {
  if (name.starts_with('@')) {
    const group* found = ::getgrnam(name.c_str() + 1);
    if (found == nullptr) return fail(ErrorCode::not_found, "names a group that is not on this host: '" + name + "'");
    groups_.push_back(found->gr_gid);
  } else {
    const passwd* found = ::getpwnam(name.c_str());
    if (found == nullptr) return fail(ErrorCode::not_found, "names a user that is not on this host: '" + name + "'");
    users_.push_back(found->pw_uid);
  }
  names_ += (names_.empty() ? "" : ", ") + name;
  return {};
}

bool Writers::allow(const control::Peer& peer) const {
  if (users_.empty() && groups_.empty()) return true;
  if (peer.uid == 0 || peer.uid == ::getuid()) return true;
  if (std::find(users_.begin(), users_.end(), peer.uid) != users_.end()) return true;
  return std::any_of(groups_.begin(), groups_.end(), [&](gid_t group) {
    return group == peer.gid || std::find(peer.groups.begin(), peer.groups.end(), group) != peer.groups.end();
  });
}

}  // namespace millrace::daemon
