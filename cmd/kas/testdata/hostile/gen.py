#!/usr/bin/env python3
"""Hostile ELF objects for kas. gen.py NAME OUTDIR [scale]; gen.py --list. Deterministic (seed 1)."""
import struct,sys,os,zlib,random,subprocess
random.seed(1)
def uleb(n):
    b=b''
    while True:
        c=n&127;n>>=7
        if n: b+=bytes([c|128])
        else: return b+bytes([c])
class Elf:
    def __init__(s,etype=2,machine=62): s.etype=etype;s.machine=machine;s.secs=[];s.over={}
    def add(s,name,typ,data=b'',flags=0,addr=0,link=0,info=0,align=1,ent=0,size=None):
        s.secs.append([name,typ,flags,addr,data,link,info,align,ent,size]);return len(s.secs)
    def write(s,path,shstr=None,hdr=None,patch=None):
        names=b'\0';offs=[]
        for x in s.secs+[['.shstrtab']]:
            offs.append(len(names));names+=x[0].encode('latin1')+b'\0'
        if shstr is not None: names,offs=shstr
        secs=s.secs+[['.shstrtab',3,0,0,names,0,0,1,0,None]]
        out=bytearray(64);hd=[b'\0'*64]
        for i,x in enumerate(secs):
            while len(out)%8: out+=b'\0'
            o=len(out)
            if x[1]!=8: out+=x[4]
            size=x[9] if x[9] is not None else len(x[4])
            hd.append(struct.pack('<IIQQQQIIQQ',offs[i] if i<len(offs) else 0,x[1],x[2],x[3],o,size,x[5],x[6],x[7],x[8]))
        while len(out)%8: out+=b'\0'
        sho=len(out);n=len(hd);ix=n-1
        if n>=0xff00:
            hd[0]=struct.pack('<IIQQQQIIQQ',0,0,0,0,0,n,ix,0,0,0);n,ix=0,0xffff
        out[:64]=struct.pack('<16sHHIQQQIHHHHHH',b'\x7fELF\2\1\1'+b'\0'*9,s.etype,s.machine,1,0,0,sho,0,64,0,0,64,n,ix)
        out+=b''.join(hd)
        if patch: patch(out,sho)
        os.makedirs(os.path.dirname(path) or '.',exist_ok=True);open(path,'wb').write(out)
B=0xffffffff81000000
def sym(name,value,size,sec=1,info=2): return struct.pack('<IBBHQQ',name,info,0,sec,value,size)
def base(syms,strs,info=b'',abbrev=b'',extra=(),text=1<<20,etype=2,flags={}):
    e=Elf(etype)
    a=B if etype==2 else 0
    e.add('.text',8 if etype==2 else 1,b'' if etype==2 else b'\x90'*4096,6,a,align=16,size=text if etype==2 else None)
    st=e.add('.strtab',3,strs)
    e.add('.symtab',2,sym(0,0,0,0,0)+b''.join(syms),link=st,info=1+len(syms),align=8,ent=24)
    if abbrev: e.add('.debug_abbrev',1,abbrev)
    if info: e.add('.debug_info',1,info)
    for n,d in extra: e.add(n,1,d)
    return e
def ab(code,tag,ch,*specs): return uleb(code)+uleb(tag)+bytes([ch])+b''.join(uleb(a)+uleb(f) for a,f in specs)+b'\0\0'
def cu4(body,ao=0): return struct.pack('<IHIB',len(body)+7,4,ao,8)+body
def cu5(body,ao=0): return struct.pack('<IHBBI',len(body)+8,5,1,8,ao)+body
foo2=([sym(1,B+0x10,16),sym(1,B+0x40,16)],b'\0foo\0')
CUATTR=[(0x03,8),(0x11,1),(0x12,6)] # name string, low_pc addr, high_pc data4
CU=ab(1,0x11,1,*CUATTR)
def cuhead(name=b'/src/a.c'): return b'\1'+name+b'\0'+struct.pack('<QI',B,1<<20)
C={}
def case(f): C[f.__name__]=f; return f
M=1<<20
@case
def plain(p,k=1):
    a=CU+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6),(0x3b,0x0b))+b'\0'
    i=cuhead()+b''.join(b'\2foo\0'+struct.pack('<QIB',B+o,16,l) for o,l in((0x10,5),(0x40,9)))+b'\0'
    base(*foo2,info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def abbrev_zero_size_specs(p,k=1):  # 1 abbreviation of 500k DW_FORM_flag_present attributes, 100k entries of it
    n=int(500000*k)
    a=CU+uleb(2)+uleb(0x2e)+b'\0'+b'\x11\x01'+b'\x3f\x19'*n+b'\0\0'+b'\0'
    i=cuhead()+(b'\2'+struct.pack('<Q',B+0x40))*int(100000*k)+b'\0'
    base(*foo2,info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def units_share_late_abbrev(p,k=1): # 87k units of 12 bytes; each looks for the last code of a 1 MB table
    a=b''.join(ab(c,0x34,0) for c in range(2,int(170000*k)))
    a+=ab(1,0x11,0)+b'\0'
    base(*foo2,info=cu4(b'\1')*int(87000*k),abbrev=a).write(p+'/vmlinux')
@case
def units_share_rangelist(p,k=1): # 65k units whose DW_AT_ranges is one list of 350k ranges
    a=ab(1,0x11,0,(0x55,0x17))+b'\0'
    rl=(b'\x04\x80\x01\x81\x01')*int(200000*k)+b'\0'
    base(*foo2,info=cu5(b'\1'+struct.pack('<I',0))*int(62000*k),abbrev=a,extra=[('.debug_rnglists',rl)]).write(p+'/vmlinux')
@case
def subprograms_share_rangelist(p,k=1):
    a=CU+ab(2,0x2e,0,(0x55,0x17))+b'\0'
    rl=b'\x05'+struct.pack('<Q',B)+(b'\x04\x80\x01\x81\x01')*int(200000*k)+b'\0'
    i=cuhead()+(b'\2'+struct.pack('<I',0))*int(200000*k)+b'\0'
    base(*foo2,info=cu5(i),abbrev=a,extra=[('.debug_rnglists',rl)]).write(p+'/vmlinux')
@case
def targets_times_subprograms(p,k=1): # 40k symbols foo at one address, 80k subprograms there
    n=int(40000*k);a=CU+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+(b'\2bar\0'+struct.pack('<QI',B+0x10,16))*int(60000*k)+b'\0'
    base([sym(1,B+0x10,16) for _ in range(n)],b'\0foo\0',info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def subprogram_names_are_long(p,k=1): # names of 1 MB by DW_FORM_strp
    a=CU+ab(2,0x2e,0,(3,0x0e),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+(b'\2'+struct.pack('<IQI',0,B+0x10,16))*int(60000*k)+b'\0'
    base(*foo2,info=cu4(i),abbrev=a,extra=[('.debug_str',b'x'*int(M*k)+b'\0')]).write(p+'/vmlinux')
@case
def symbol_names_overlap(p,k=1): # 40k symbols, name = 1 MB each, the same bytes
    n=int(4000*k)
    base([sym(1+j,B+0x10,16) for j in range(n)],b'\0'+b'x'*M+b'\0').write(p+'/vmlinux')
@case
def symbol_names_overlap40k(p,k=1): symbol_names_overlap(p,10)
@case
def file_symbols_overlap(p,k=1):
    n=int(4000*k)
    base([sym(1+j,0,0,0xfff1,4) for j in range(n)],b'\0'+b'x'*M+b'\0').write(p+'/vmlinux')
@case
def section_names_overlap(p,k=1):
    e=base(*foo2); n=int(40000*k)
    for j in range(n): e.add('',1,b'')
    names=b'\0'+b'x'*(2*M)+b'\0'
    e.write(p+'/vmlinux',shstr=(names,[1]*(n+4)))
@case
def same_name_1e6(p,k=1):
    base([sym(1,B+0x10*(j%60000),16) for j in range(int(1000000*k))],b'\0foo\0').write(p+'/vmlinux')
@case
def same_name_1e6_module_nodebug(p,k=1):
    n=int(1000000*k)
    base([sym(1,j%4096,1) for j in range(n)],b'\0foo\0',etype=1).write(p+'/m/a.ko')
@case
def same_place_300k(p,k=1): # all at one place: ordinals
    a=CU+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6),(0x3b,0x0b),(0x3a,0x0b))+b'\0'
    i=cuhead()+b'\2foo\0'+struct.pack('<QIBB',B+0x10,16,5,0)+b'\0'
    base([sym(1,B+0x10,16) for j in range(int(300000*k))],b'\0foo\0',info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def sections_1e6(p,k=1):
    e=base(*foo2)
    for j in range(int(1000000*k)): e.add('',1,b'')
    names=b'\0.text\0'
    e.write(p+'/vmlinux',shstr=(names,[1]*(len(e.secs)+1)))
@case
def sections_1e6_module(p,k=1):
    e=base([sym(1,0x10,16),sym(1,0x40,16)],b'\0foo\0',etype=1)
    for j in range(int(1000000*k)): e.add('',1,b'')
    e.write(p+'/m/a.ko',shstr=(b'\0.text\0',[1]*(len(e.secs)+1)))
@case
def rela_for_all(p,k=1): # 300k SHT_RELA sections over .symtab and .debug_info
    e=base([sym(1,0x10,16),sym(1,0x40,16)],b'\0foo\0',etype=1,info=cu4(cuhead()+b'\0'),abbrev=CU+b'\0')
    for j in range(int(100000*k)): e.add('',4,struct.pack('<QQq',0,1|1<<32,0),link=3,info=5,ent=24)
    e.write(p+'/m/a.ko',shstr=(b'\0.text\0.debug_info\0.debug_abbrev\0.symtab\0',[1,1,36,20,7]+[1]*(len(e.secs))))
@case
def shnum0_huge(p,k=1):
    def patch(o,sho):
        struct.pack_into('<H',o,60,0);struct.pack_into('<Q',o,sho+32,1<<58)
    base(*foo2).write(p+'/vmlinux',patch=patch)
@case
def huge_fields(p,k=1): # many variants of one wrong field
    src=p+'/src';plain(src);d=open(src+'/vmlinux','rb').read();os.remove(src+'/vmlinux');os.rmdir(src)
    sho=struct.unpack_from('<Q',d,40)[0];n=struct.unpack_from('<H',d,60)[0];c=0
    for s in range(n):
        for off,f in((0,'<I'),(4,'<I'),(8,'<Q'),(16,'<Q'),(24,'<Q'),(32,'<Q'),(40,'<I'),(44,'<I'),(48,'<Q'),(56,'<Q')):
            for v in (0,1,2,3,5,0x7fffffff,0xffffffff,0xff00,0x7fffffffffffffff,0xfffffffffffffff8,1<<40):
                if f=='<I' and v>0xffffffff: continue
                b=bytearray(d);struct.pack_into(f,b,sho+64*s+off,v)
                q=p+'/m/%05d.ko'%c;os.makedirs(p+'/m',exist_ok=True)
                if c%2: struct.pack_into('<H',b,16,1)
                open(q,'wb').write(b);c+=1
@case
def deep_nesting(p,k=1):
    n=int(4000000*k);a=CU+ab(2,0x0b,1)+ab(3,0x2e,0,(3,8),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+b'\2'*n+b'\3foo\0'+struct.pack('<QI',B+0x10,16)+b'\0'*(n+1)
    base(*foo2,info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def deep_nesting_symbols_all(p,k=1): deep_nesting(p,k)
@case
def origin_ring(p,k=1):
    a=CU+ab(2,0x2e,0,(0x31,0x13),(0x11,1),(0x12,6),(0x47,0x13))+b'\0'
    h=cuhead();o=11+len(h);n=int(100000*k);i=h
    i+=b''.join(b'\2'+struct.pack('<IQII',o+21*((j*7919)%n),B+0x10,16,o+21*((j*31)%n)) for j in range(n))+b'\0'
    base(*foo2,info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def indirect_chain(p,k=1):
    a=CU+ab(2,0x2e,0,(3,0x16),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+b'\2'+b'\x16'*int(4*M*k)+b'\x08foo\0'+struct.pack('<QI',B+0x10,16)+b'\0'
    base(*foo2,info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def abbrevs_millions(p,k=1):
    a=CU+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6))+b''.join(uleb(random.getrandbits(32)|8)+b'\x34\0\0\0' for _ in range(int(900000*k)))+b'\0'
    i=cuhead()+b'\2foo\0'+struct.pack('<QI',B+0x10,16)+b'\0'
    base(*foo2,info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def units_load_abbrevs_millions(p,k=1): # each of 10k units covers a target and loads a table of 1 MB
    a=ab(1,0x11,1,(0x11,1),(0x12,6))+b''.join(uleb(c)+b'\x34\0\0\0' for c in range(2,int(150000*k)))+b'\0'
    i=b'\1'+struct.pack('<QI',B,1<<20)+b'\0'
    base(*foo2,info=cu4(i)*int(20000*k),abbrev=a).write(p+'/vmlinux')
def linehdr(prog,ver=4,files=b'\0a.c\0\0\0\0\0'):
    rest=struct.pack('<BBBbBB',1,1,1,-5,14,13)+bytes([0,1,1,1,1,0,0,0,1,0,0,1])+files
    h=struct.pack('<HI',ver,len(rest))+rest+prog
    return struct.pack('<I',len(h))+h
CUL=ab(1,0x11,1,(3,8),(0x11,1),(0x12,6),(0x10,0x17))
@case
def line_rows_times_openings(p,k=1): # 40k functions of one start, 1M rows at it that are no statement
    n=int(20000*k);a=CUL+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+struct.pack('<I',0)+b'\2foo\0'+struct.pack('<QI',B+0x10,16)+b'\0'
    prog=b'\0\x09\x02'+struct.pack('<Q',B+0x10)+b'\x06'+b'\x01'*int(M*k)+b'\0\1\1'
    base([sym(1,B+0x10,16) for _ in range(n)],b'\0foo\0',info=cu4(i),abbrev=a,extra=[('.debug_line',linehdr(prog))]).write(p+'/vmlinux')
@case
def line_advance_huge(p,k=1):
    a=CUL+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+struct.pack('<I',0)+b'\2foo\0'+struct.pack('<QI',B+0x10,16)+b'\0'
    prog=(b'\x02'+b'\xff'*9+b'\x01'+b'\x03'+b'\xff'*9+b'\x7f'+b'\x01')*int(180000*k)
    base(*foo2,info=cu4(i),abbrev=a,extra=[('.debug_line',linehdr(prog))]).write(p+'/vmlinux')
@case
def line_set_address_rows(p,k=1):
    a=CUL+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+struct.pack('<I',0)+(b'\2foo\0'+struct.pack('<QI',B+0x10,16))+b'\0'
    prog=(b'\0\x09\x02'+struct.pack('<Q',B+0x1)+b'\x01')*int(330000*k)
    base([sym(1,B+0x10+j,1) for j in range(int(40000*k))],b'\0foo\0',info=cu4(i),abbrev=a,extra=[('.debug_line',linehdr(prog))]).write(p+'/vmlinux')
def comp(name,kind,data,size,p,etype=2,more=()):
    e=base(*foo2,abbrev=CU+b'\0',extra=more)
    e.add(name,1,struct.pack('<IIQQ',kind,0,size,1)+data,flags=0x800,align=8);e.write(p+'/vmlinux')
def zl(n):
    c=zlib.compressobj(9);z=bytes(1<<24);o=b''
    for _ in range(n>>24): o+=c.compress(z)
    return o+c.flush()
def zst(n): return subprocess.run('head -c %d /dev/zero | zstd -q -19 --single-thread'%n,shell=True,stdout=subprocess.PIPE).stdout
@case
def shf_zlib_1g(p,k=1): comp('.debug_info',1,zl(1<<30),1<<30,p)
@case
def shf_zstd_1g(p,k=1): comp('.debug_info',2,zst(1<<30),1<<30,p)
@case
def shf_zstd_4g(p,k=1): comp('.debug_info',2,zst(1<<32),1<<32,p)
@case
def shf_zstd_lie_huge(p,k=1): comp('.debug_info',2,zst(1<<20),1<<62,p)
@case
def shf_zstd_lie_4g_of_1m(p,k=1): comp('.debug_info',2,zst(1<<20),1<<32,p)
@case
def shf_zlib_lie_small(p,k=1): comp('.debug_info',1,zl(1<<30),100,p)
@case
def shf_nine_sections_1g(p,k=1):
    e=base(*foo2)
    d=zst(1<<30)
    for n in('.debug_info','.debug_abbrev','.debug_line','.debug_str','.debug_line_str','.debug_str_offsets','.debug_addr','.debug_rnglists','.debug_ranges'):
        e.add(n,1,struct.pack('<IIQQ',2,0,1<<30,1)+d,flags=0x800,align=8)
    e.write(p+'/vmlinux')
def bomb(p,cmd,ext,n):
    os.makedirs(p+'/m',exist_ok=True);plain(p)
    base([sym(1,0x10,16)],b'\0foo\0',etype=1).write(p+'/m/x.o')
    subprocess.run('(cat %s/m/x.o; head -c %d /dev/zero) | %s > %s/m/x.ko.%s; rm %s/m/x.o'%(p,n,cmd,p,ext,p),shell=True,check=True)
@case
def xz_1g(p,k=1): bomb(p,'xz -T1 -1',"xz",1<<30)
@case
def gz_1g(p,k=1): bomb(p,'gzip -1',"gz",1<<30)
@case
def zst_1g(p,k=1): bomb(p,'zstd -q',"zst",1<<30)
@case
def zst_5g(p,k=1): bomb(p,'zstd -q',"zst",5<<30)
@case
def str_offsets_out(p,k=1):
    a=ab(1,0x11,1,(0x72,0x17),(3,0x1a),(0x11,1),(0x12,6),(0x73,0x17))+ab(2,0x2e,0,(3,0x1a),(0x11,0x1b),(0x12,6))+b'\0'
    i=b''
    for so in (0xffffffff,0xfffffff0,1<<20,0,8): i+=cu5(b'\1'+struct.pack('<I',so)+uleb((1<<63)-1)+struct.pack('<QII',B,1<<20,0xffffffff)+b'\2'+uleb((1<<64)-1)+uleb((1<<61)+3)+struct.pack('<I',16)+b'\0')
    base(*foo2,info=i,abbrev=a,extra=[('.debug_str_offsets',bytes(64)),('.debug_addr',bytes(64)),('.debug_str',b'foo\0')]).write(p+'/vmlinux')
@case
def names_escape(p,k=1): # control characters in names of DWARF and symbols
    a=CUL+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6),(0x3b,0x0b),(0x3a,0x0b))+b'\0'
    i=cuhead(b"/src/a\tb\nc\x1b[31mRED\x1b]0;title\x07'\";$(x).c")+struct.pack('<I',0)+b'\2foo\0'+struct.pack('<QIBB',B+0x10,16,5,0)+b'\2foo\0'+struct.pack('<QIBB',B+0x40,16,9,1)+b'\2bar\0'+struct.pack('<QIBB',B+0x80,16,9,2)+b'\2bar\0'+struct.pack('<QIBB',B+0x90,16,10,3)+b'\0'
    n=b'\0foo\0bar\0_text\0'
    base([sym(1,B+0x10,16),sym(1,B+0x40,16),sym(5,B+0x80,16),sym(5,B+0x90,16),sym(9,B,0)],n,info=cu4(i),abbrev=a,extra=[('.debug_line',linehdr(b'\0\1\1',files=b'/src/../../..\0\0x\ny\tz.c\0\1\0\0'+b'../../../etc/passwd\0\0\0\0'+b'd'*70000+b'.c\0\0\0\0\0'))]).write(p+'/vmlinux')
def addr(v): return struct.pack('<Q',v)
@case
def restored_times_renamed(p,k=1): # a name and the same name renamed, each 100k times
    n=int(100000*k)
    base([sym(1,B+j,1) for j in range(n)]+[sym(5,B+n+j,1) for j in range(n)],b'\0foo\0foo.llvm.7\0').write(p+'/vmlinux')
@case
def separator_names(p,k=1): # 200k symbols with the spelling of an alias, each at its own place
    base([sym(1,B+j,1) for j in range(int(200000*k))],b'\0foo@a_c_1\0').write(p+'/vmlinux')
@case
def folders_times_locations(p,k=1): # each unit names another folder, and has a location outside all of them
    a=ab(1,0x11,1,(3,8),(0x1b,8),(0x11,1),(0x12,6))+ab(2,0x2e,0,(3,8),(0x11,1),(0x12,6),(0x3b,0x0b))+b'\0'
    n=int(40000*k);i=[];s=[]
    for j in range(n):
        v=B+16*j
        i.append(cu4(b'\1/src/%06d.c\0/b/%06d\0'%(j,j)+addr(v)+struct.pack('<I',16)+b'\2foo\0'+addr(v)+struct.pack('<IB',16,5)+b'\0'))
        s.append(sym(1,v,16))
    base(s,b'\0foo\0',info=b''.join(i),abbrev=a,text=16*n).write(p+'/vmlinux')
@case
def notes_overlap(p,k=1): # 40k sections of notes that are the same 2 MB
    e=base(*foo2);note=struct.pack('<III',0,0,1)*int(180000*k)
    e.add('.note',7,note)
    for j in range(int(40000*k)): e.add('',7,b'',size=len(note))
    def patch(o,sho):
        at=struct.unpack_from('<Q',o,sho+64*4+24)[0]
        for j in range(int(40000*k)): struct.pack_into('<Q',o,sho+64*(5+j)+24,at)
    e.write(p+'/vmlinux',patch=patch)
def dwo(name,id_):
    a=ab(1,0x11,1,(0x2131,7))+ab(2,0x2e,0,(3,8))+b'\0'
    e=Elf(1);e.add('.debug_abbrev.dwo',1,a);e.add('.debug_info.dwo',1,cu4(b'\1'+addr(id_)+b'\2bar\0'*100000+b'\0'));e.write(name)
@case
def split_alternate(p,k=1): # skeletons that name two .dwo files in turn
    n=int(40000*k);a=ab(1,0x11,0,(0x2130,8),(0x2131,7),(0x11,1),(0x12,6))+b'\0'
    i=b''.join(cu4(b'\1%c.dwo\0'%(97+j%2)+addr(j%2)+addr(B)+struct.pack('<I',4096)) for j in range(n))
    base(*foo2,info=i,abbrev=a).write(p+'/vmlinux');dwo(p+'/a.dwo',0);dwo(p+'/b.dwo',1)
@case
def split_missing(p,k=1): # 100k skeletons whose .dwo files are not there
    n=int(100000*k);a=ab(1,0x11,0,(0x2130,8),(0x2131,7),(0x11,1),(0x12,6))+b'\0'
    i=b''.join(cu4(b'\1%06d.dwo\0'%j+addr(j)+addr(B)+struct.pack('<I',4096)) for j in range(n))
    base(*foo2,info=i,abbrev=a).write(p+'/vmlinux')
@case
def units_share_line_header(p,k=1): # 50k units of assembly with one table of 100k files
    a=ab(1,0x11,0,(3,8),(0x10,0x17),(0x13,5),(0x11,1),(0x12,6))+b'\0'
    i=cu4(b'\1a.h\0'+struct.pack('<IH',0,0x8001)+addr(B)+struct.pack('<I',4096))*int(50000*k)
    files=b'\0'+b'b.h\0\0\0\0'*int(100000*k)+b'\0'
    base(*foo2,info=i,abbrev=a,extra=[('.debug_line',linehdr(b'\0\1\1',files=files))]).write(p+'/vmlinux')
@case
def claims_times_entries(p,k=1): # 40k functions without an entry, 100k entries without an address
    n=int(40000*k);a=CU+ab(2,0x2e,0,(3,8),(0x3b,6))+ab(3,0x2e,0,(3,8),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+b'\3bar\0'+addr(B+0x10)+struct.pack('<I',16)+b''.join(b'\2foo\0'+struct.pack('<I',j) for j in range(int(100000*k)))+b'\0'
    base([sym(1,B+0x10,16,info=0x12) for _ in range(n)],b'\0foo\0',info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def claims_of_one(p,k=1): # 300k entries of one name, each with another line
    a=CU+ab(2,0x2e,0,(3,8),(0x3b,6))+ab(3,0x2e,0,(3,8),(0x11,1),(0x12,6))+b'\0'
    i=cuhead()+b'\3bar\0'+addr(B+0x10)+struct.pack('<I',16)+b''.join(b'\2foo\0'+struct.pack('<I',j) for j in range(int(300000*k)))+b'\0'
    base(*foo2,info=cu4(i),abbrev=a).write(p+'/vmlinux')
@case
def comments_many(p,k=1): # 4M comments of one letter
    base(*foo2,extra=[('.comment',b'a\0'*int(4*M*k))]).write(p+'/vmlinux')
@case
def banners_overlap(p,k=1): # 100k symbols linux_banner of 4 MB
    e=base([sym(1,B,4*M,sec=1) for _ in range(int(100000*k))],b'\0linux_banner\0')
    e.secs[0][1]=1;e.secs[0][4]=b'x '*(2*M);e.secs[0][9]=None
    e.write(p+'/vmlinux')
@case
def crel_overlap(p,k=1): # compact relocations, the same 1 MB for nine debug sections
    e=base([sym(1,0x10,16),sym(1,0x40,16)],b'\0foo\0',etype=1,info=cu4(cuhead()+b'\0'),abbrev=CU+b'\0')
    c=uleb(int(M*k)<<3)+b'\0'*int(M*k)
    names=('.debug_line','.debug_str','.debug_line_str','.debug_str_offsets','.debug_addr','.debug_rnglists','.debug_ranges')
    for n in names: e.add(n,1,b'\0'*16)
    first=len(e.secs)
    e.add('.crel',0x40000014,c,link=3,info=5)
    for j in range(len(names)): e.add('.crel',0x40000014,b'',link=3,info=6+j,size=len(c))
    def patch(o,sho):
        at=struct.unpack_from('<Q',o,sho+64*(first+1)+24)[0]
        for j in range(len(names)): struct.pack_into('<Q',o,sho+64*(first+2+j)+24,at)
    e.write(p+'/m/a.ko',patch=patch)
@case
def relocations_unsorted(p,k=1): # 400k relocations in descending order
    n=int(400000*k);i=cu4(cuhead()+b'\0')
    e=base([sym(1,0x10,16),sym(1,0x40,16)],b'\0foo\0',etype=1,info=i,abbrev=CU+b'\0')
    e.add('.rela',4,b''.join(struct.pack('<QQq',8*(n-j),1|1<<32,0) for j in range(n)),link=3,info=5,ent=24)
    e.write(p+'/m/a.ko')
@case
def zst_of_symbols(p,k=1): # 1.4M symbols in a few KB
    os.makedirs(p+'/m',exist_ok=True);plain(p)
    base([sym(1,0x10,16)]*int(1400000*k),b'\0foo\0',etype=1).write(p+'/m/x.o')
    subprocess.run('zstd -q --rm %s/m/x.o -o %s/m/x.ko.zst'%(p,p),shell=True,check=True)
@case
def zst_of_zlib(p,k=1): # a bomb in a bomb
    e=base([sym(1,0x10,16),sym(1,0x40,16)],b'\0foo\0',etype=1,abbrev=CU+b'\0')
    e.add('.debug_info',1,struct.pack('<IIQQ',1,0,1<<30,1)+zl(1<<30),flags=0x800,align=8)
    os.makedirs(p+'/m',exist_ok=True);plain(p);e.write(p+'/m/x.o')
    subprocess.run('zstd -q --rm %s/m/x.o -o %s/m/x.ko.zst'%(p,p),shell=True,check=True)
@case
def sparse_symtab(p,k=1): # a file of 60 GB that has nothing, whose symbol table claims 48 GB of it
    e=base([sym(1,0x10,16),sym(1,0x40,16)],b'\0foo\0',etype=1);os.makedirs(p+'/m',exist_ok=True);plain(p)
    def patch(o,sho): struct.pack_into('<QQ',o,sho+64*3+24,1<<20,48*10**9//24*24)
    e.write(p+'/m/a.ko',patch=patch);os.truncate(p+'/m/a.ko',60*10**9)
if __name__=='__main__':
    if sys.argv[1]=='--list': print('\n'.join(C)); sys.exit()
    k=float(sys.argv[3]) if len(sys.argv)>3 else 1
    C[sys.argv[1]](sys.argv[2],k)
