# Package lists of another architecture or suite, for scripts that fetch packages without installing
# them. The machine's own lists stay as they are. A script that reads this file has a function die.

# apt_lists FOLDER ARCH SUITE: fetches package lists into FOLDER, and writes FOLDER/apt.conf, with which
# apt-get -c and apt-cache -c use them. Packages come into FOLDER/archives. FOLDER is an absolute path.
# The suite - is the machine's.
apt_lists() {
	mkdir -p "$1/lists/partial" "$1/archives/partial"
	cat >"$1/apt.conf" <<-END
		APT::Architecture "$2";
		APT::Architectures { "$2"; };
		APT::Sandbox::User "$(id -un)";
		Dir::State::lists "$1/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$1";
		Dir::Cache::archives "$1/archives";
	END

	# Another suite comes from the mirror that the machine uses, checked with Debian's own keys.
	if [ "$3" != - ]; then
		mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
			'Origin: Debian' 'Label: Debian' | head -n 1)
		[ -n "$mirror" ] || die "the machine's apt has no mirror of Debian to fetch $3 from"
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $3 main" >"$1/sources.list"
		cat >>"$1/apt.conf" <<-END
			Dir::Etc::sourcelist "$1/sources.list";
			Dir::Etc::sourceparts "/dev/null";
		END
	fi

	# While a mirror is brought up to date, its lists and their digests differ for a minute.
	for wait in 30 60 -; do
		if apt-get -q -c "$1/apt.conf" update; then
			break
		elif [ $wait = - ]; then
			die "the package lists cannot be fetched"
		fi
		sleep $wait
	done
}
